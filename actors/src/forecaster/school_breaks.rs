//! When schools are closed, region by region, for all museums of a region at once; a museum's own policy may name more days.

use std::collections::HashMap;

use jiff::civil::Date;
use tornello_engine::planning::policy::Span;

/// The spans of all regions. Regions are told apart whatever the case of their letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchoolBreaks(HashMap<String, Vec<Span>>);

impl SchoolBreaks {
    /// Adds a span of a region; answers false, and adds nothing, where it ends before it begins.
    pub fn add(&mut self, region: &str, span: Span) -> bool {
        let sound = span.from <= span.to;
        if sound {
            self.0.entry(region.trim().to_lowercase()).or_default().push(span);
        }
        sound
    }

    /// Whether schools of a region are closed on a day, as far as anybody has said.
    #[must_use]
    pub fn hold(&self, region: &str, date: Date) -> bool {
        self.0.get(&region.trim().to_lowercase()).is_some_and(|spans| spans.iter().any(|span| span.holds(date)))
    }
}
