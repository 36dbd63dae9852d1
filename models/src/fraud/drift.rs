//! Whether what a model is fed still looks like what there was when it was made: for each channel and feature the bands of then, and how much falls into each since. Every
//! channel is held against itself, as a desk never looks like the web.
//!
//! All features are numbers, so what a model can meet that it never met is a value beyond all of then, or a channel.

use serde::{Deserialize, Serialize};

use super::psi::{BANDS, Bands, Drift};
use super::signals::{N, Outlet};
use crate::ModelError;

/// Of a channel with fewer events, then or since, no index is told: of so many on both sides chance alone makes one of 0.04.
pub const EVENTS_MIN: u64 = 500;

/// Something that a model is fed.
#[derive(Debug, Clone, Copy)]
pub struct Fed<'a> {
    /// When, in UTC microseconds.
    pub at_us: i64,
    /// Through which channel.
    pub outlet: Outlet,
    /// In the order of the feature list.
    pub features: &'a [f32],
}

/// What a model would have been fed when it was made. Its serde form stands behind the model in an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    until_us: i64,
    /// In the order of [`Outlet::ALL`].
    channels: Vec<Usual>,
}

/// What was usual in a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Usual {
    events: u64,
    /// In the order of the feature list; none of too few events.
    features: Vec<Bands>,
}

impl Usual {
    fn of(rows: &[&[f32]]) -> Result<Self, ModelError> {
        let events = rows.len() as u64;
        let column = |feature: usize| {
            let values: Vec<f64> = rows.iter().map(|row| f64::from(row[feature])).collect();
            Bands::fit(&values)
        };
        let features = if events < EVENTS_MIN { Vec::new() } else { (0..N).map(column).collect::<Result<_, _>>()? };
        Ok(Self { events, features })
    }
}

impl Reference {
    /// The bands of what was fed.
    pub fn fit<'a>(fed: impl IntoIterator<Item = Fed<'a>>) -> Result<Self, ModelError> {
        let mut rows: [Vec<&[f32]>; Outlet::ALL.len()] = Default::default();
        let mut until_us = i64::MIN;
        for one in fed {
            if one.features.len() != N {
                return Err(ModelError::BadShape { what: "a value for each feature" });
            }
            until_us = until_us.max(one.at_us);
            rows[one.outlet as usize].push(one.features);
        }
        Ok(Self { until_us, channels: rows.iter().map(|rows| Usual::of(rows)).collect::<Result<_, _>>()? })
    }

    /// When the last of it was fed, in UTC microseconds: only what came later is held against it.
    #[must_use]
    pub const fn until_us(&self) -> i64 {
        self.until_us
    }

    /// Whether what was decoded from bytes can be asked without a panic.
    pub fn check(self) -> Result<Self, ModelError> {
        let is_sound = |usual: &Usual| usual.features.is_empty() || usual.features.len() == N && usual.features.iter().all(Bands::is_sound);
        if self.channels.len() == Outlet::ALL.len() && self.channels.iter().all(is_sound) {
            Ok(self)
        } else {
            Err(ModelError::BadArtifact { problem: "what it was made of does not fit together".to_owned() })
        }
    }
}

/// How much fell into each band since: 20 kilobytes at most.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// In the order of [`Outlet::ALL`].
    channels: [Counted; Outlet::ALL.len()],
}

#[derive(Debug, Clone, Default)]
struct Counted {
    events: u64,
    /// Of each feature; none as long as there is nothing to hold them against.
    features: Vec<Fallen>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Fallen {
    bands: [u32; BANDS],
    outside: u32,
}

/// How far a feature is from what it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureDrift {
    /// Its place in the feature list.
    pub feature: usize,
    /// The population stability index.
    pub psi: f64,
    /// The share of events whose value is less than the least or more than the greatest of then, 0 to 1.
    pub outside: f64,
}

impl FeatureDrift {
    /// What that asks for.
    #[must_use]
    pub fn asks(&self) -> Drift {
        Drift::of(self.psi)
    }
}

/// How far a channel is from what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelDrift {
    /// Which.
    pub outlet: Outlet,
    /// How many events there were then.
    pub expected: u64,
    /// How many there have been since.
    pub events: u64,
    /// The features, those that are furthest first; none where there were, or are, fewer than [`EVENTS_MIN`] events.
    pub features: Vec<FeatureDrift>,
}

impl Counts {
    /// Counts one event.
    pub fn take(&mut self, reference: &Reference, fed: Fed<'_>) {
        let counted = &mut self.channels[fed.outlet as usize];
        counted.events += 1;
        let usual = &reference.channels[fed.outlet as usize];
        counted.features.resize(usual.features.len(), Fallen::default());
        for ((fallen, bands), &value) in counted.features.iter_mut().zip(&usual.features).zip(fed.features) {
            let x = f64::from(value);
            if let Some(band) = bands.band(x) {
                fallen.bands[band] = fallen.bands[band].saturating_add(1);
            }
            fallen.outside = fallen.outside.saturating_add(u32::from(bands.is_outside(x)));
        }
    }

    /// Counts what others have counted, against the same reference.
    pub fn add(&mut self, other: &Self) {
        for (counted, more) in self.channels.iter_mut().zip(&other.channels) {
            counted.events += more.events;
            counted.features.resize(counted.features.len().max(more.features.len()), Fallen::default());
            for (fallen, more) in counted.features.iter_mut().zip(&more.features) {
                fallen.bands.iter_mut().zip(more.bands).for_each(|(band, more)| *band = band.saturating_add(more));
                fallen.outside = fallen.outside.saturating_add(more.outside);
            }
        }
    }

    /// How many events were counted.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.channels.iter().map(|counted| counted.events).sum()
    }

    /// The share of events that came through a channel of which there was none then, 0 to 1; none of no events.
    #[must_use]
    pub fn unseen_share(&self, reference: &Reference) -> Option<f64> {
        let unseen = self.channels.iter().zip(&reference.channels).filter(|(_, usual)| usual.events == 0);
        let unseen: u64 = unseen.map(|(counted, _)| counted.events).sum();
        let events = self.events();
        (events > 0).then(|| unseen as f64 / events as f64)
    }

    /// How far each channel is from what it was, of those that there were then or have been since.
    #[must_use]
    pub fn found(&self, reference: &Reference) -> Vec<ChannelDrift> {
        let channels = Outlet::ALL.into_iter().zip(&self.channels).zip(&reference.channels);
        let met = channels.filter(|((_, counted), usual)| counted.events > 0 || usual.events > 0);
        met.map(|((outlet, counted), usual)| {
            let events = counted.events;
            let mut features: Vec<FeatureDrift> = Vec::new();
            if events >= EVENTS_MIN {
                features.extend(usual.features.iter().zip(&counted.features).enumerate().map(|(feature, (bands, fallen))| FeatureDrift {
                    feature,
                    psi: bands.psi_of(&fallen.bands),
                    outside: f64::from(fallen.outside) / events as f64,
                }));
            }
            features.sort_by(|one, other| other.psi.total_cmp(&one.psi).then(one.feature.cmp(&other.feature)));
            ChannelDrift { outlet, expected: usual.events, events, features }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in which each feature takes 89 values, equally often.
    fn rows(range: std::ops::Range<usize>) -> Vec<Vec<f32>> {
        range.map(|row| (0..N).map(|feature| ((row * 31 + feature) % 89) as f32 / 20.0).collect()).collect()
    }

    fn fed(rows: &[Vec<f32>], outlet: Outlet) -> impl Iterator<Item = Fed<'_>> {
        rows.iter().enumerate().map(move |(at, features)| Fed { at_us: at as i64, outlet, features })
    }

    fn counted(reference: &Reference, rows: &[Vec<f32>], outlet: Outlet) -> Counts {
        let mut counts = Counts::default();
        fed(rows, outlet).for_each(|fed| counts.take(reference, fed));
        counts
    }

    #[test]
    fn the_feature_that_moved_is_told_first_and_the_others_stay() {
        let reference = Reference::fit(fed(&rows(0..890), Outlet::Web)).unwrap();
        assert_eq!(reference.until_us(), 889);
        let mut later = rows(890..1_780);
        later.iter_mut().for_each(|row| row[7] += 10.0);
        let counts = counted(&reference, &later, Outlet::Web);
        let found = counts.found(&reference);
        let [web] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((web.outlet, web.expected, web.events, web.features.len()), (Outlet::Web, 890, 890, N));
        let [first, others @ ..] = web.features.as_slice() else { panic!("no feature") };
        assert_eq!((first.feature, first.asks(), first.outside), (7, Drift::Retrain, 1.0));
        assert!(others.iter().all(|other| other.asks() == Drift::Stable && other.outside == 0.0), "{others:?}");
        assert_eq!(counts.unseen_share(&reference), Some(0.0));
    }

    #[test]
    fn a_channel_is_held_against_itself_and_one_that_was_not_there_is_told_as_such() {
        let (quiet, mut busy) = (rows(0..890), rows(0..890));
        busy.iter_mut().flatten().for_each(|value| *value += 10.0);
        let both = fed(&quiet, Outlet::Web).chain(fed(&busy, Outlet::BoxOffice));
        let reference = Reference::fit(both.chain(fed(&quiet[..9], Outlet::Group))).unwrap();
        let mut counts = counted(&reference, &quiet, Outlet::Web);
        counts.add(&counted(&reference, &busy, Outlet::BoxOffice));
        counts.add(&counted(&reference, &quiet, Outlet::Group));
        counts.add(&counted(&reference, &quiet, Outlet::Reseller));
        let found = counts.found(&reference);
        let told: Vec<_> = found.iter().map(|channel| (channel.outlet, channel.expected, channel.events, channel.features.len())).collect();
        let expected = [(Outlet::Web, 890, 890, N), (Outlet::BoxOffice, 890, 890, N), (Outlet::Group, 9, 890, 0), (Outlet::Reseller, 0, 890, 0)];
        assert_eq!(told, expected);
        assert!(found.iter().flat_map(|channel| &channel.features).all(|feature| feature.psi.abs() < 1e-12), "{found:?}");
        assert_eq!(counts.unseen_share(&reference), Some(0.25), "the group office had few, resellers none");
    }

    #[test]
    fn little_says_nothing() {
        let reference = Reference::fit(fed(&rows(0..890), Outlet::Web)).unwrap();
        let few = EVENTS_MIN as usize - 1;
        assert!(counted(&reference, &rows(0..few), Outlet::Web).found(&reference)[0].features.is_empty());
        assert_eq!(counted(&reference, &rows(0..few + 1), Outlet::Web).found(&reference)[0].features.len(), N);
        let nothing = Counts::default();
        assert_eq!((nothing.events(), nothing.unseen_share(&reference), nothing.found(&reference)[0].events), (0, None, 0));
    }

    #[test]
    fn days_that_are_added_up_are_as_one() {
        let reference = Reference::fit(fed(&rows(0..890), Outlet::Web)).unwrap();
        let later: Vec<Vec<f32>> = rows(0..1_200).into_iter().map(|row| row.into_iter().map(|x| x * 1.5).collect()).collect();
        let mut days = Counts::default();
        later.chunks(100).for_each(|day| days.add(&counted(&reference, day, Outlet::Web)));
        let found = days.found(&reference);
        assert!(found[0].features[0].psi > 0.1, "{found:?}");
        assert_eq!(found, counted(&reference, &later, Outlet::Web).found(&reference));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let reference = Reference::fit(fed(&rows(0..890), Outlet::Web)).unwrap();
        assert_eq!(reference.clone().check(), Ok(reference.clone()));
        let (mut short, mut narrow) = (reference.clone(), reference);
        short.channels.pop();
        narrow.channels[0].features.pop();
        assert!(short.check().is_err() && narrow.check().is_err());
        let row = [vec![1.0_f32; N - 1]];
        assert!(Reference::fit(fed(&row, Outlet::Web)).is_err());
    }
}
