//! How far a run is: bars on the standard error of a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// Who is told how far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bars on the standard error, where that is a terminal.
    Shown,
    /// Nobody.
    Hidden,
}

impl Progress {
    /// A stage of the run that takes so many steps. Its bar goes away with it.
    #[must_use]
    pub fn stage(self, name: &str, steps: u64) -> Stage {
        let bar = match self {
            Self::Hidden => ProgressBar::hidden(),
            Self::Shown => ProgressBar::new(steps),
        };
        if let Ok(style) = ProgressStyle::with_template("{msg:32} {bar:40} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        Stage { bar }
    }
}

/// A stage under way.
pub struct Stage {
    bar: ProgressBar,
}

impl Stage {
    /// One step more is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
