//! The booking curve: how many will have come in the end, from how many are on the books so many days before. Three ways to say it: add what is usually still
//! picked up, multiply by the usual growth, or let a ridge regression weigh both with the season and with how the books and the visits of the last week stand.
//!
//! All of them look back at the last eight days of the same weekday that are over at the origin, at what was booked for them as long before, and at what came.

use super::day::Day;
use crate::ModelError;
use crate::ridge::Ridge;

/// Weeks that are looked back at.
const WEEKS: i32 = 8;
/// Days of the level.
const LEVEL_DAYS: i32 = 28;
/// The penalty of the regression, in rows.
const PENALTY: f64 = 5.0;

/// One site seen from one horizon: what came on each day, and what was on the books that many days before.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Days between the look at the books and the visit.
    pub horizon: u16,
    /// The day of the first figures below.
    pub first: Day,
    /// What came in the end.
    pub came: Vec<f64>,
    /// What was booked then and not cancelled by then.
    pub booked: Vec<f64>,
}

/// What was usual over the last eight same weekdays.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usual {
    came: f64,
    booked: f64,
    last: f64,
}

impl Curve {
    fn place(&self, day: Day) -> Option<usize> {
        usize::try_from(day.since(self.first)).ok().filter(|place| *place < self.booked.len())
    }

    /// What came on a day, if the origin of a forecast for `target` may know it.
    fn came(&self, day: Day, target: Day) -> Option<f64> {
        let origin = target.plus(-i32::from(self.horizon));
        self.place(day).filter(|_| day <= origin).and_then(|place| self.came.get(place)).copied()
    }

    /// What is on the books for a day, `horizon` days before it.
    #[must_use]
    pub fn booked(&self, day: Day) -> Option<f64> {
        self.place(day).map(|place| self.booked[place])
    }

    fn usual(&self, target: Day) -> Option<Usual> {
        let newest = target.plus(-7 * ((i32::from(self.horizon) + 6) / 7));
        let weeks = (0..WEEKS).map(|week| newest.plus(-7 * week));
        let known: Vec<(f64, f64)> = weeks.filter_map(|day| Some((self.came(day, target)?, self.booked(day)?))).collect();
        let count = known.len() as f64;
        let last = known.first()?.0;
        Some(Usual { came: known.iter().map(|day| day.0).sum::<f64>() / count, booked: known.iter().map(|day| day.1).sum::<f64>() / count, last })
    }

    /// The mean of the last 28 days that are over at the origin, at least 1.
    fn level(&self, target: Day) -> Option<f64> {
        let origin = target.plus(-i32::from(self.horizon));
        let known: Vec<f64> = (0..LEVEL_DAYS).filter_map(|back| self.came(origin.plus(-back), target)).collect();
        (!known.is_empty()).then(|| (known.iter().sum::<f64>() / known.len() as f64).max(1.0))
    }

    /// The forecast that adds what was usually still picked up.
    #[must_use]
    pub fn added(&self, target: Day) -> Option<f64> {
        let (booked, usual) = (self.booked(target)?, self.usual(target)?);
        Some((booked + usual.came - usual.booked).max(0.0))
    }

    /// The forecast that multiplies by the usual growth. Unstable where few are usually on the books by then.
    #[must_use]
    pub fn multiplied(&self, target: Day) -> Option<f64> {
        let (booked, usual) = (self.booked(target)?, self.usual(target)?);
        Some(booked * usual.came / usual.booked.max(1.0))
    }

    /// The seasonal naive forecast: the last same weekday that is over.
    #[must_use]
    pub fn naive(&self, target: Day) -> Option<f64> {
        self.usual(target).map(|usual| usual.last)
    }

    /// The row of a day for the regression, and its level.
    fn row(&self, target: Day) -> Option<(Vec<f64>, f64)> {
        let (booked, usual, level) = (self.booked(target)?, self.usual(target)?, self.level(target)?);
        let angle = f64::from(target.share_of_year()) * std::f64::consts::TAU;
        let origin = target.plus(-i32::from(self.horizon));
        // The weekday is in what its last eight weeks had; columns of its own only fit noise, with no more than a year or two to learn from.
        let books_of_week: Vec<f64> = (0..7).filter_map(|back| self.booked(target.plus(-back))).collect();
        let last_week: Vec<f64> = (0..7).filter_map(|back| self.came(origin.plus(-back), target)).collect();
        let row = vec![
            booked / level,
            ((1.0 + booked) / level).ln(),
            usual.last / level,
            usual.came / level,
            usual.booked / level,
            (booked + usual.came - usual.booked) / level,
            // Where few are usually on the books, the growth is wild: it is kept within ten levels.
            (booked * usual.came / usual.booked.max(1.0) / level).min(10.0),
            angle.sin(),
            angle.cos(),
            level.ln(),
            books_of_week.iter().sum::<f64>() / books_of_week.len() as f64 / level,
            last_week.iter().sum::<f64>() / last_week.len() as f64 / level,
        ];
        Some((row, level))
    }
}

/// The regression of one horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct Pickup {
    ridge: Ridge,
}

impl Pickup {
    /// Learns from the days of some curves of one horizon that are over at the origin.
    pub fn fit(curves: &[Curve], origin: Day) -> Result<Self, ModelError> {
        let (mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut columns = 0;
        for curve in curves {
            for place in 0..curve.came.len().min(curve.booked.len()) {
                let day = curve.first.plus(place as i32);
                if day > origin {
                    break;
                }
                let Some((row, level)) = curve.row(day) else { continue };
                columns = row.len();
                rows.extend(row);
                targets.push(curve.came[place] / level);
                weights.push(level);
            }
        }
        if targets.len() < 4 * columns.max(1) {
            return Err(ModelError::BadInput { problem: format!("{} days are too few to learn the booking curve from", targets.len()) });
        }
        Ok(Self { ridge: Ridge::fit(&rows, columns, &targets, &weights, PENALTY)? })
    }

    /// The forecast for a day; none where the curve does not reach far enough back.
    #[must_use]
    pub fn forecast(&self, curve: &Curve, target: Day) -> Option<f64> {
        let (row, level) = curve.row(target)?;
        Some((self.ridge.predict(&row) * level).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 days on which three quarters of the visitors have booked a week before; weekends draw double.
    fn curve() -> Curve {
        let came: Vec<f64> = (0..200).map(|day| if Day(day).weekday() >= 5 { 80.0 } else { 40.0 } + f64::from(day % 3)).collect();
        let booked = came.iter().map(|came| (came * 0.75).round()).collect();
        Curve { horizon: 7, first: Day(0), came, booked }
    }

    #[test]
    fn a_steady_curve_is_continued() {
        let curve = curve();
        let fitted = Pickup::fit(std::slice::from_ref(&curve), Day(150)).expect("enough days");
        for target in (158..180).map(Day) {
            let came = curve.came[target.0 as usize];
            for forecast in [curve.added(target), curve.multiplied(target), fitted.forecast(&curve, target)] {
                assert!((forecast.expect("a forecast") - came).abs() < 0.06 * came, "{forecast:?} is not {came}");
            }
        }
    }

    #[test]
    fn what_comes_after_the_origin_changes_nothing() {
        let (origin, mut planted) = (Day(150), curve());
        planted.came[151..].fill(1e6);
        let target = origin.plus(7);
        let (honest, cheating) = (curve(), planted);
        let fits = [&honest, &cheating].map(|curve| Pickup::fit(std::slice::from_ref(curve), origin).expect("enough days"));
        assert_eq!(fits[0], fits[1]);
        assert_eq!(fits[0].forecast(&honest, target), fits[1].forecast(&cheating, target));
        assert_eq!((honest.added(target), honest.multiplied(target)), (cheating.added(target), cheating.multiplied(target)));
    }

    #[test]
    fn too_little_is_refused() {
        assert!(Pickup::fit(&[curve()], Day(20)).is_err());
        assert!(Pickup::fit(&[], Day(20)).is_err());
        assert_eq!(curve().added(Day(3)), None);
    }
}
