//! Fits the forecaster of daily attendance and writes it as an artifact: `model.bin` and `card.json` in a folder.
//!
//! What it learns from is a file with the columns of the shipped counts, or simulated museums for a benchmark of scale. The same data and seed make the same bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tornello_datasets::{holidays, simulated_attendance};
use tornello_models::artifact::{Artifact, CARD_FILE, Kind, MODEL_FILE, Metric, Particulars, TrainingData, decode};
use tornello_models::boost::Recipe;
use tornello_models::demand::backtest::{self, Contest, Trial};
use tornello_models::demand::{Day, Forecaster, Settings, Site, features};
use tornello_models::feature_list::FeatureList;
use tornello_models::score::Score;

use crate::progress::Progress;
use crate::protocols::p1;
use crate::report::{Comparison, Report, cpu_time, memory_peak};
use crate::source::{Source, sha256};

/// Days of the contest between a champion and its challenger: eight weeks.
const CONTEST_DAYS: i32 = 56;
const CONTEST_ORIGIN_EVERY: usize = 7;
/// Three years.
const SIMULATED_DAYS: usize = 3 * 365;
const SEED: u64 = 7;

/// What to fit on.
#[derive(Debug, Clone)]
pub enum Data {
    /// A file with the columns of the shipped counts; without one, those. The region names the holidays that hold.
    File(Option<PathBuf>, String),
    /// So many simulated museums, three years each.
    Simulated(u32),
}

/// A fit to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to fit on.
    pub data: Data,
    /// The farthest day ahead.
    pub horizon_max: u16,
    /// Threads to fit on.
    pub threads: u32,
    /// The folder of the champion that acts now, if it is to be beaten.
    pub champion: Option<PathBuf>,
    /// When this is, as the card shall say (RFC 3339).
    pub created: String,
}

/// The features of a demand model, in order, as its artifact carries them.
pub fn feature_list(books: bool) -> anyhow::Result<FeatureList> {
    Ok(FeatureList::new(features::columns(books).iter().map(|column| (column.name, column.unit)))?)
}

/// Fits, judges and writes; answers with what was found.
pub fn train(job: &Job, out: &Path, progress: Progress) -> anyhow::Result<Report> {
    let before = cpu_time();
    let mut report = Report::new("Forecaster of daily attendance");
    let (sites, data) = sites(&job.data, &mut report)?;
    let last = sites.iter().map(Site::last).max().context("there is no site to learn from")?;
    let plain = Settings::default();
    let settings = Settings { horizon_max: job.horizon_max, recipe: Recipe { threads: job.threads, seed: SEED, ..plain.recipe }, ..plain };
    let stage = progress.stage("fitting", 2 * u64::from(settings.recipe.rounds));
    let forecaster = Forecaster::fit(&sites, last, &settings, &mut |_| stage.step())?;
    drop(stage);
    quality(&mut report, &forecaster, &sites);
    let parent = job.champion.as_deref().map(|folder| contest(&mut report, folder, &sites, last, &settings, progress)).transpose()?;
    let features = feature_list(false)?;
    let metrics =
        report.metrics.iter().map(|metric| Metric { protocol: "held-out 84 days".to_owned(), name: metric.name.clone(), value: metric.value });
    let particulars = Particulars {
        kind: Kind::Demand,
        method: "quantile_trees".to_owned(),
        created: job.created.clone(),
        code_revision: env!("CARGO_PKG_VERSION").to_owned(),
        data,
        seed: SEED,
        settings: vec![("settings".to_owned(), serde_json::to_string(&settings)?)],
        metrics: metrics.collect(),
        parent,
        approver: None,
    };
    let artifact = Artifact::seal(&forecaster, &features, particulars)?;
    std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    std::fs::write(out.join(MODEL_FILE), &artifact.model).with_context(|| format!("writing {}", out.join(MODEL_FILE).display()))?;
    std::fs::write(out.join(CARD_FILE), &artifact.card).with_context(|| format!("writing {}", out.join(CARD_FILE).display()))?;
    report.notes.push(format!("model {} written to {}, {} bytes", artifact.card()?.id, out.display(), artifact.model.len()));
    if let Some(peak) = memory_peak() {
        report.metric("memory_peak_mb", peak as f64 / 1e6, "megabytes", None);
    }
    report.cpu_s = (cpu_time() - before).as_secs_f64();
    Ok(report)
}

/// The forecaster of a folder that [`train`] wrote.
pub fn read(folder: &Path) -> anyhow::Result<Forecaster> {
    let path = folder.join(MODEL_FILE);
    let model = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    decode(&model, Kind::Demand, &feature_list(false)?).with_context(|| format!("opening {}", path.display()))
}

fn sites(data: &Data, report: &mut Report) -> anyhow::Result<(Vec<Site>, TrainingData)> {
    let (name, sha256, rows, sites) = match data {
        Data::File(path, region) => {
            let source = Source::open(path.as_deref(), p1::FILE, p1::EMBEDDED)?;
            let (sites, rows) = p1::all_sites(&source, region, &mut report.notes)?;
            // A card names the file and not the folder that it lay in.
            let name = Path::new(&source.name).file_name().map_or_else(|| source.name.clone(), |name| name.to_string_lossy().into_owned());
            (name, source.sha256(), rows, sites)
        }
        Data::Simulated(count) => {
            let last = Day::of(2025, 12, 31);
            let holidays = holidays::of("IT")?.iter().map(crate::protocols::day).collect::<anyhow::Result<BTreeSet<Day>>>()?;
            let sites = simulated_attendance::sites(SEED, *count, last, SIMULATED_DAYS, |day| holidays.contains(&day));
            let bytes: Vec<u8> = sites.iter().flat_map(|site| site.attendance.iter().flat_map(|visitors| visitors.to_le_bytes())).collect();
            let rows = sites.iter().map(|site| site.attendance.len() as u64).sum();
            (format!("{count} simulated museums"), sha256(&bytes), rows, sites)
        }
    };
    ensure!(!sites.is_empty(), "there is no site to learn from");
    let date = |day: Day| {
        let (year, month, day) = day.date();
        format!("{year}-{month:02}-{day:02}")
    };
    let (first, last) = (sites.iter().map(|site| site.first).min(), sites.iter().map(Site::last).max());
    let period = format!("{} to {}", first.map(date).unwrap_or_default(), last.map(date).unwrap_or_default());
    report.data.push((name.clone(), sha256.clone(), rows));
    report.notes.push(format!("{} sites, {period}", sites.len()));
    Ok((sites, TrainingData { name, sha256, rows, period }))
}

/// How good the fit is on the days that the measured trees had not seen.
fn quality(report: &mut Report, forecaster: &Forecaster, sites: &[Site]) {
    let mut sums = [Score::default(); 3];
    for line in forecaster.quality() {
        [line.champion, line.naive, line.median].iter().zip(&mut sums).for_each(|(score, sum)| sum.add(score));
    }
    if sums[0].count == 0 {
        report.notes.push("too little history to hold any back: nothing is known of how good this is".to_owned());
        return;
    }
    report.metric("wape", sums[0].wape(), "of attendance", None);
    report.metric("sql", sums[0].sql(), "of attendance", None);
    report.metric("coverage80", sums[0].coverage(), "of days", None);
    let names = ["quantile trees", "seasonal naive", "median of 8 weekdays"];
    report.comparisons.push(Comparison {
        title: "On the newest 84 days, held back, beside two floors".to_owned(),
        key: "models",
        figures: ["wape", "bias"].map(str::to_owned).to_vec(),
        rows: names.iter().zip(&sums).map(|(name, score)| ((*name).to_owned(), vec![score.wape(), score.bias()])).collect(),
    });
    let mut regions: Vec<&str> = sites.iter().map(|site| site.region.as_str()).collect();
    regions.sort_unstable();
    regions.dedup();
    let of_region = |region: &str| {
        let codes: Vec<u32> = sites.iter().filter(|site| site.region == region).map(|site| site.code).collect();
        let mut sum = Score::default();
        forecaster.quality().iter().filter(|line| codes.contains(&line.site)).for_each(|line| sum.add(&line.champion));
        (region.to_owned(), vec![sum.wape(), sum.coverage(), sum.bias()])
    };
    if regions.len() > 1 {
        report.comparisons.push(Comparison {
            title: "Per region".to_owned(),
            key: "regions",
            figures: ["wape", "coverage80", "bias"].map(str::to_owned).to_vec(),
            rows: regions.into_iter().map(of_region).collect(),
        });
    }
}

/// The champion of a folder against trees of this recipe, both fitted before the last eight weeks, on those weeks. Answers with the champion's id.
fn contest(report: &mut Report, folder: &Path, sites: &[Site], last: Day, settings: &Settings, progress: Progress) -> anyhow::Result<String> {
    let card = std::fs::read_to_string(folder.join(CARD_FILE)).with_context(|| format!("reading {}", folder.join(CARD_FILE).display()))?;
    let id = serde_json::from_str::<tornello_models::artifact::Card>(&card).context("the champion's card is not readable")?.id;
    let champion = read(folder)?;
    let from = last.plus(-CONTEST_DAYS);
    ensure!(champion.fitted_on() <= from, "the champion has seen the last eight weeks of this data: they cannot judge it");
    let stage = progress.stage("fitting the challenger", 2 * u64::from(settings.recipe.rounds));
    let challenger = Forecaster::fit(sites, from, settings, &mut |_| stage.step())?;
    let regions = backtest::trial(sites, &[&champion, &challenger], from, last, CONTEST_ORIGIN_EVERY)?;
    let contest = |trial: &Trial| Contest { champion: trial.models[0], challenger: trial.models[1] };
    let contests: Vec<Contest> = regions.values().map(contest).collect();
    let figures = |trial: &Trial| trial.models.iter().chain([&trial.naive, &trial.median]).map(Score::sql).collect();
    let verdict = if backtest::promotes(&contests) { "the challenger takes over" } else { "the champion stays" };
    report.notes.push(format!("against {id} on the last eight weeks: {verdict}"));
    report.metric("promoted", f64::from(u8::from(backtest::promotes(&contests))), "1 if the challenger takes over", None);
    report.comparisons.push(Comparison {
        title: "Scaled quantile loss on the last eight weeks, per region".to_owned(),
        key: "contest",
        figures: ["champion", "challenger", "seasonal naive", "median of 8 weekdays"].map(str::to_owned).to_vec(),
        rows: regions.iter().map(|(region, trial)| (region.clone(), figures(trial))).collect(),
    });
    Ok(id)
}
