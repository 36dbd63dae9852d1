//! Which model is at work, and where its lines are, when others come and go.

use tornello_models::fraud::chance::Chance;
use tornello_models::fraud::drift::ChannelDrift;
use tornello_models::fraud::psi::Drift;
use tornello_models::fraud::select::Unsupervised;
use tornello_models::fraud::signals::{Role, Taking};

use super::*;
use crate::fraud::agreement::Agreed;

impl Judge {
    /// Puts a trained model to work that no registry knows. It has no lines yet.
    pub fn install(&self, artifact: &Artifact, post: Post) -> Result<Code, ModelError> {
        let acting = self.opened(&artifact.model, &artifact.card()?.id, false)?;
        let _changing = self.changing.lock();
        Ok(self.put(acting, post, Some(artifact)))
    }
}

/// A model of rows whose values lie between 0 and `spread`: it finds the usual unusual, or not, by how far they reach. Another seed is another model.
pub(crate) fn model(seed: usize, spread: f64) -> Artifact {
    let values = (0..400 * N).map(|i| spread * ((i * 7_919 + seed) % 101) as f64 / 101.0).collect();
    sealed(&Scorer::fit(Unsupervised::Tails, &Rows::new(N, values).unwrap(), Treatment { logarithm: false, clip: false }, 1).unwrap())
}

/// A model with a card that says nothing of where it comes from.
pub(crate) fn sealed(scorer: &Scorer) -> Artifact {
    sealed_for(scorer, &feature_list().unwrap())
}

/// The same, for another list of features.
fn sealed_for(scorer: &Scorer, features: &FeatureList) -> Artifact {
    let particulars = Particulars {
        kind: Kind::Fraud,
        method: "test".into(),
        created: String::new(),
        code_revision: "test".into(),
        data: TrainingData { name: "made up".into(), sha256: String::new(), rows: 0, period: String::new() },
        seed: 1,
        settings: Vec::new(),
        metrics: Vec::new(),
        parent: None,
        approver: None,
    };
    Artifact::seal(scorer, features, particulars).unwrap()
}

fn row(n: i64) -> Row {
    Row {
        at_us: n * 1_000_000,
        subject: n as u128,
        outlet: Outlet::ALL[0],
        read_of: Some(Taking { role: Role::Device, id: n as u128 }),
        features: (0..N).map(|i| ((n as usize * 31 + i) % 89) as f32 / 20.0).collect(),
    }
}

fn judge(shelf: Option<Shelf>) -> Arc<Judge> {
    judge_that_waits(Duration::from_secs(1), shelf)
}

fn judge_that_waits(score_max: Duration, shelf: Option<Shelf>) -> Arc<Judge> {
    Judge::start([Budget { alerts_per_day: 20 }; 5], score_max, shelf).unwrap()
}

fn registered(judge: &Judge, name: &str, artifact: &Artifact, post: Post) {
    judge.shelf.as_ref().unwrap().keep(name, artifact).unwrap();
    let checksum = u128::from_str_radix(&artifact.card().unwrap().id, 16).unwrap();
    judge.put_to_work(name.parse().unwrap(), Digest(checksum), post).unwrap();
}

#[test]
fn a_model_that_the_registry_names_no_more_is_taken_from_work() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::in_folder(folder.path());
    let judge = judge(Some(shelf.clone()));
    let artifact = model(0, 8.0);
    for post in [Post::Champion, Post::Challenger] {
        assert!(!judge.dismiss(post), "there is none");
        registered(&judge, "first", &artifact, post);
    }
    shelf.act(&artifact.card().unwrap().id, false).unwrap();
    assert!(judge.dismiss(Post::Champion) && judge.champion().is_none() && judge.challenger().is_some());
    assert!(shelf.acting().is_none(), "it would act again after a restart");
    assert!(judge.dismiss(Post::Challenger) && judge.challenger().is_none());
    // What the registry did not put to work is not the registry's to take away.
    judge.install(&artifact, Post::Champion).unwrap();
    assert!(!judge.dismiss(Post::Champion) && judge.champion().is_some() && shelf.acting().is_some());
}

#[test]
fn what_the_node_fitted_to_watch_beside_a_model_watches_no_more_when_that_one_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let judge = judge(Some(Shelf::in_folder(folder.path())));
    let rows: Vec<Row> = (0..2_000).map(row).collect();
    registered(&judge, "first", &model(0, 8.0), Post::Champion);
    judge.fit_own(&rows, 1).unwrap();
    assert!(judge.champion().unwrap().registered && judge.challenger().unwrap().own);
    assert!(judge.dismiss(Post::Champion));
    judge.fit_own(&rows, 2).unwrap();
    assert!(judge.champion().unwrap().own && judge.challenger().is_none(), "it would be compared with those that follow it for ever");
    // One that somebody lets challenge goes on.
    registered(&judge, "second", &model(50, 8.0), Post::Challenger);
    judge.fit_own(&rows, 3).unwrap();
    assert!(judge.champion().unwrap().own && judge.challenger().is_some_and(|challenger| challenger.registered));
}

#[actix_rt::test]
async fn a_model_that_is_put_to_work_has_lines_from_what_was_heard_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let judge = judge(Some(Shelf::in_folder(folder.path())));
    let mut fold = serde_json::to_value(Fold::default()).unwrap();
    // Of somebody every two minutes: twenty a day are more than one of them.
    let rows: Vec<Row> = (0..500).map(|n| Row { at_us: n * DAY_US / 720, ..row(n) }).collect();
    fold["rows"] = serde_json::to_value(rows).unwrap();
    judge.begin(&serde_json::from_value(fold).unwrap());
    judge.settled().await;
    registered(&judge, "first", &model(0, 8.0), Post::Champion);
    let [cut, ..] = judge.champion().unwrap().cuts;
    assert!(cut.score < 1.0 && cut.random > 0.0, "{cut:?}");
}

#[actix_rt::test]
async fn the_lines_of_a_model_follow_from_its_own_scores_and_not_from_those_of_the_model_before() {
    let judge = judge(None);
    judge.install(&model(0, 1.0), Post::Champion).unwrap();
    let rows: Vec<Row> = (0..500).map(row).collect();
    for row in &rows {
        judge.tasks.send(Task::Score(vec![row.clone()])).unwrap();
    }
    judge.settled().await;
    judge.install(&model(0, 8.0), Post::Champion).unwrap();
    let mut next = row(1);
    next.at_us += DAY_US;
    judge.tasks.send(Task::Score(vec![next])).unwrap();
    judge.settled().await;
    let champion = judge.champion().unwrap();
    let of_its_own = Windows::of(Some(&champion), &rows).cuts(1, None, &judge.budgets);
    assert_eq!(champion.cuts, of_its_own);
}

#[actix_rt::test]
async fn the_lines_of_the_nodes_own_model_are_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // Three days of 800 events; on the third it is fitted, and started again.
    let rows: Vec<Row> = (0..2_400).map(|n| Row { at_us: n * DAY_US / 800, ..row(n) }).collect();
    let live = judge(Some(Shelf::in_folder(folder.path())));
    live.tasks.send(Task::Fit { rows: rows[..1_601].to_vec(), day: 2 }).unwrap();
    for row in &rows[1_600..] {
        live.tasks.send(Task::Score(vec![row.clone()])).unwrap();
    }
    live.settled().await;
    let before = live.champion().unwrap();
    assert!(before.own && before.cuts[0].score < 1.0, "{:?}", before.cuts);
    let again = judge(Some(Shelf::in_folder(folder.path())));
    let mut fold = serde_json::to_value(Fold::default()).unwrap();
    fold["rows"] = serde_json::to_value(&rows).unwrap();
    again.begin(&serde_json::from_value(fold).unwrap());
    again.settled().await;
    let after = again.champion().unwrap();
    assert_eq!((&before.id, before.cuts), (&after.id, after.cuts));
}

#[actix_rt::test]
async fn a_model_for_which_there_is_no_room_among_the_tasks_is_fitted_some_events_later() {
    let judge = judge(None);
    let fold = |seen: u64| -> Fold {
        let mut fold = serde_json::to_value(Fold::default()).unwrap();
        fold["rows"] = serde_json::to_value((0..500).map(row).collect::<Vec<Row>>()).unwrap();
        fold["seen"] = seen.into();
        serde_json::from_value(fold).unwrap()
    };
    judge.begin(&fold(0));
    judge.settled().await;
    let fitted = || judge.fitted_day.load(Ordering::Acquire);
    {
        // The thread of the models waits with the first of these in hand, so that one more than there is room for are given.
        let _stalled = judge.recent.lock();
        let mut given = 0;
        while given <= WAITING {
            match judge.tasks.try_send(Task::Score(vec![row(1)])) {
                Ok(()) => given += 1,
                Err(_) => std::thread::yield_now(),
            }
        }
        judge.hear(vec![row(1)], &fold(ROWS_MIN));
        assert_eq!((judge.skipped(), fitted()), (1, i64::MIN));
    }
    judge.settled().await;
    judge.hear(vec![row(1)], &fold(ROWS_MIN + FIT_AGAIN - 1));
    assert_eq!((judge.skipped(), fitted()), (1, i64::MIN), "it is not tried with every batch");
    judge.hear(vec![row(1)], &fold(ROWS_MIN + FIT_AGAIN));
    assert_eq!(fitted(), 0);
}

#[test]
fn a_model_that_the_node_fitted_long_ago_does_not_act() {
    let judge = judge(None);
    judge.fit_own(&(0..2_000).map(row).collect::<Vec<_>>(), 1).unwrap();
    let (own, last_us) = (judge.champion().unwrap(), row(1_999).at_us);
    assert!(own.own && !own.is_outdated(last_us + OWN_DAYS_MAX * DAY_US) && own.is_outdated(last_us + OWN_DAYS_MAX * DAY_US + 1));
    judge.install(&model(0, 8.0), Post::Champion).unwrap();
    assert!(!judge.champion().unwrap().is_outdated(i64::MAX), "what somebody put to work is theirs to take from it");
}

#[test]
fn a_model_that_is_too_slow_is_not_put_to_work() {
    let judge = judge_that_waits(Duration::ZERO, None);
    let refused = judge.install(&model(0, 8.0), Post::Champion);
    assert!(matches!(refused, Err(ModelError::BadArtifact { ref problem }) if problem.starts_with("a score takes")), "{refused:?}");
    assert!(judge.champion().is_none(), "rules act alone");
}

#[actix_rt::test]
async fn a_model_of_the_features_before_the_last_ones_were_added_is_refused_and_the_node_fits_one_of_its_own() {
    const BEFORE: usize = N - 5;
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::in_folder(folder.path());
    let values = (0..400 * BEFORE).map(|i| 8.0 * ((i * 7_919) % 101) as f64 / 101.0).collect();
    let treatment = Treatment { logarithm: false, clip: false };
    let scorer = Scorer::fit(Unsupervised::Tails, &Rows::new(BEFORE, values).unwrap(), treatment, 1).unwrap();
    let older = sealed_for(&scorer, &FeatureList::new(FEATURES.into_iter().take(BEFORE)).unwrap());
    let id = older.card().unwrap().id;
    // It acted when the node was last at work, and stands on the shelf under its name.
    shelf.keep(&id, &older).and_then(|()| shelf.act(&id, true)).unwrap();
    shelf.keep("first", &older).unwrap();
    let judge = judge(Some(shelf));
    assert!(judge.champion().is_none(), "rules act alone");
    let checksum = Digest(u128::from_str_radix(&id, 16).unwrap());
    assert_eq!(judge.put_to_work("first".parse().unwrap(), checksum, Post::Champion), Err(ModelError::OtherFeatures));
    assert_eq!(judge.try_out("first".parse().unwrap(), checksum, Digest(0)), Err(ModelError::OtherFeatures), "nor is it registered");
    // What was heard is heard again with the features of today, and a model follows from it at once.
    let mut fold = serde_json::to_value(Fold::default()).unwrap();
    fold["rows"] = serde_json::to_value((0..2_000).map(row).collect::<Vec<Row>>()).unwrap();
    fold["seen"] = ROWS_MIN.into();
    judge.begin(&serde_json::from_value(fold).unwrap());
    judge.settled().await;
    assert!(judge.champion().is_some_and(|acting| acting.own && acting.id != id));
}

#[test]
fn a_model_that_says_no_number_is_not_put_to_work() {
    let judge = judge(None);
    let mut chance = Chance::new(7);
    let values = (0..400 * N).map(|_| 8.0 * chance.unit()).collect();
    // Clipped, so that it can be written as JSON.
    let treatment = Treatment { logarithm: false, clip: true };
    let sound = Scorer::fit(Unsupervised::RobustCovariance, &Rows::new(N, values).unwrap(), treatment, 1).unwrap();
    judge.install(&sealed(&sound), Post::Champion).unwrap();
    let mut broken = serde_json::to_value(&sound).unwrap();
    for factor in broken["method"]["Covariance"]["factor"].as_array_mut().unwrap() {
        *factor = serde_json::json!(0.0);
    }
    let broken: Scorer = serde_json::from_value(broken).unwrap();
    let refused = judge.install(&sealed(&broken), Post::Champion);
    assert!(matches!(refused, Err(ModelError::BadArtifact { ref problem }) if problem == "what it says is no number"), "{refused:?}");
    assert!(judge.champion().is_some(), "the one before goes on");
}

#[test]
fn a_model_that_turns_out_to_be_at_fault_at_work_is_set_aside_and_not_put_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let judge = judge(Some(Shelf::in_folder(folder.path())));
    let artifact = model(0, 8.0);
    let checksum = Digest(u128::from_str_radix(&artifact.card().unwrap().id, 16).unwrap());
    registered(&judge, "first", &artifact, Post::Champion);
    let champion = judge.champion().unwrap();
    // Its lines were drawn anew between the score and the word about it.
    judge.draw(&champion, Post::Champion, [Cut { score: 0.5, random: 0.0 }; 5]);
    judge.set_aside(&champion, Post::Champion, Fault::NoNumber);
    assert!(judge.champion().is_none(), "rules act alone");
    assert!(judge.is_faulty(champion.code) && judge.put_to_work(champion.code, checksum, Post::Champion).is_err());
    // From the next day on the node's own one acts.
    let rows: Vec<Row> = (0..2_000).map(row).collect();
    judge.fit_own(&rows, 1).unwrap();
    assert!(judge.champion().unwrap().own);
    // Whoever took its place meanwhile stays.
    registered(&judge, "second", &artifact, Post::Champion);
    judge.set_aside(&champion, Post::Champion, Fault::NoNumber);
    assert!(judge.champion().is_some());
}

#[actix_rt::test]
async fn a_model_of_the_nodes_own_that_was_set_aside_stays_aside_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::in_folder(folder.path());
    let fold = |rows: &[Row]| -> Fold {
        let mut fold = serde_json::to_value(Fold::default()).unwrap();
        fold["rows"] = serde_json::to_value(rows).unwrap();
        fold["seen"] = ROWS_MIN.into();
        serde_json::from_value(fold).unwrap()
    };
    let mut rows: Vec<Row> = (0..2_000).map(row).collect();
    let live = judge(Some(shelf.clone()));
    live.begin(&fold(&rows));
    live.settled().await;
    let faulty = live.champion().unwrap();
    assert!(faulty.own && shelf.acting().is_some());
    live.set_aside(&faulty, Post::Champion, Fault::NoNumber);
    assert!(live.champion().is_none() && shelf.acting().is_none());

    let again = judge(Some(shelf.clone()));
    assert!(again.champion().is_none(), "rules act alone");
    // Neither is another one of the same day put in its place, as none would be without the restart, nor the same one.
    again.begin(&fold(&rows));
    again.settled().await;
    assert!(again.champion().is_none());
    again.fit_own(&rows, 0).unwrap();
    assert!(again.champion().is_none());
    // From the next day on another one acts, and also after a restart.
    let next = Row { at_us: DAY_US, ..row(2_001) };
    rows.push(next.clone());
    again.hear(vec![next], &fold(&rows));
    again.settled().await;
    let fitted = again.champion().unwrap();
    assert!(fitted.own && fitted.id != faulty.id);
    assert!(judge(Some(shelf)).champion().is_some_and(|acting| acting.id == fitted.id));
}

/// As [`row`], of the web, with a feature that moved.
fn moved(n: i64) -> Row {
    let mut row = row(n);
    row.features[7] += 10.0;
    row
}

async fn fed(judge: &Judge, rows: &[Row]) {
    judge.tasks.send(Task::Score(rows.to_vec())).unwrap();
    judge.settled().await;
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_seconds(n)
}

#[actix_rt::test]
async fn what_the_acting_model_is_fed_is_held_against_what_it_was_made_of_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::in_folder(folder.path());
    let (made_of, later): (Vec<Row>, Vec<Row>) = ((0..2_670).map(row).collect(), (2_670..3_560).map(moved).collect());
    let first = judge(Some(shelf.clone()));
    first.fit_own(&made_of, 1).unwrap();
    assert_eq!(first.drifted(at(3_560)), None, "nothing was counted yet");
    fed(&first, &later).await;
    let found = first.drifted(at(3_560)).unwrap();
    assert_eq!((found.model, found.made_until), (first.champion().unwrap().code, at(2_669)));
    assert_eq!((found.window, found.events, found.unseen_share), (Some((at(2_670), at(3_559))), 890, Some(0.0)));
    let [ChannelDrift { outlet: Outlet::Web, expected: 2_670, events: 890, features }] = found.channels.as_slice() else { panic!("{found:?}") };
    assert_eq!((features[0].feature, features[0].asks(), features[0].outside), (7, Drift::Retrain, 1.0));
    assert!(features[1..].iter().all(|feature| feature.asks() == Drift::Stable), "{features:?}");

    // What the scorers know is told to the models at a start, what the model was made of as well.
    let again = judge(Some(shelf));
    assert!(again.champion().is_some_and(|acting| acting.id == first.champion().unwrap().id));
    let mut fold = serde_json::to_value(Fold::default()).unwrap();
    fold["rows"] = serde_json::to_value(made_of.iter().chain(&later).collect::<Vec<_>>()).unwrap();
    again.begin(&serde_json::from_value(fold).unwrap());
    again.settled().await;
    assert_eq!(again.drifted(at(3_560)), Some(found));
}

#[actix_rt::test]
async fn what_is_told_of_drift_is_of_the_last_days_and_of_the_model_that_acts() {
    let judge = judge(None);
    let made_of: Vec<Row> = (0..2_670).map(row).collect();
    judge.fit_own(&made_of, 1).unwrap();
    let on = |day: i64, n: i64| Row { at_us: day * DAY_US + n * 1_000_000, ..moved(n) };
    fed(&judge, &(0..600).map(|n| on(3, n)).collect::<Vec<_>>()).await;
    fed(&judge, &[Row { outlet: Outlet::Reseller, ..on(4, 0) }]).await;
    let events = |days: i64| judge.drifted(at(days * 86_400)).map(|found| (found.events, found.unseen_share));
    assert_eq!(events(4), Some((601, Some(1.0 / 601.0))), "resellers were not there when it was made");
    assert_eq!([events(9), events(10), events(11)], [Some((601, Some(1.0 / 601.0))), Some((1, Some(1.0))), Some((0, None))]);
    // What came long ago is not kept.
    fed(&judge, &[on(10, 0)]).await;
    assert_eq!(events(10), Some((2, Some(0.5))));
    // A model that does not say of what it was made is held against nothing, and not against what another one was made of.
    judge.install(&model(0, 8.0), Post::Champion).unwrap();
    assert_eq!(events(10), None);
    fed(&judge, &[on(10, 1)]).await;
    assert_eq!(events(10), None);
}

#[actix_rt::test]
async fn the_model_that_watches_and_the_one_that_acts_are_compared_as_they_score() {
    let judge = judge(None);
    judge.install(&model(0, 8.0), Post::Champion).unwrap();
    // Somebody every two minutes: twenty a day are more than one of them.
    let on_the_first_day = |n: i64| Row { at_us: n * DAY_US / 720, ..row(n) };
    fed(&judge, &[on_the_first_day(1)]).await;
    assert_eq!(judge.agreement(), None, "there is only one");
    judge.install(&model(0, 8.0), Post::Challenger).unwrap();
    fed(&judge, &(2..600).map(on_the_first_day).collect::<Vec<_>>()).await;
    assert_eq!(judge.agreement(), None, "neither has a line before the next day");
    // The same model draws the same line of the same rows, from the next day on.
    let on_the_next_day = |n: i64| Row { at_us: DAY_US + n * 1_000_000, ..row(n) };
    let strange = |n: i64| Row { features: vec![30.0; N], ..on_the_next_day(n) };
    let next: Vec<Row> = (600..900).map(on_the_next_day).chain([strange(900)]).collect();
    fed(&judge, &next).await;
    let cuts = [Post::Champion, Post::Challenger].map(|post| judge.at(post).unwrap().cuts);
    assert!(cuts[0] == cuts[1] && cuts[0][0].score < 1.0, "{cuts:?}");
    let told = judge.agreement().unwrap();
    let codes = [Post::Champion, Post::Challenger].map(|post| judge.at(post).unwrap().code);
    assert_eq!(([told.champion, told.challenger], told.until.as_micros()), (codes, DAY_US + 900_000_000));
    let web = told.channels[0];
    // The row that the lines were drawn at is judged by those of before it, of which there were none.
    assert_eq!((web.champion_only, web.challenger_only, web.both + web.neither), (0, 0, 300));
    assert!(web.both >= 1 && told.channels[1..].iter().all(|other| *other == Agreed::default()), "{told:?}");

    // Lines far apart: what only one of both raises is counted as that.
    let [champion, challenger] = [Post::Champion, Post::Challenger].map(|post| judge.at(post).unwrap());
    judge.draw(&champion, Post::Champion, [Cut { score: 0.0, random: 0.0 }; 5]);
    judge.draw(&challenger, Post::Challenger, [Cut { score: 0.999_999, random: 0.0 }; 5]);
    fed(&judge, &[on_the_next_day(901)]).await;
    assert_eq!(judge.agreement().unwrap().channels[0].champion_only, 1);
    let [champion, challenger] = [Post::Champion, Post::Challenger].map(|post| judge.at(post).unwrap());
    judge.draw(&champion, Post::Champion, [Cut { score: 0.999_999, random: 0.0 }; 5]);
    judge.draw(&challenger, Post::Challenger, [Cut { score: 0.0, random: 0.0 }; 5]);
    fed(&judge, &[on_the_next_day(902)]).await;
    let before = judge.agreement().unwrap();
    assert_eq!((before.channels[0].champion_only, before.channels[0].challenger_only), (1, 1));

    // Another model that watches is compared anew.
    judge.install(&model(50, 8.0), Post::Challenger).unwrap();
    assert_eq!(judge.agreement(), None);
}

#[actix_rt::test]
async fn three_scorers_are_asked_in_the_shadow_and_none_of_them_acts_also_after_a_restart() {
    let judge = judge(None);
    let other = self::judge(None);
    // A day of 2,400 events, and some of the next.
    let rows: Vec<Row> = (0..3_000).map(|n| Row { at_us: n * DAY_US / 2_400, ..row(n) }).collect();
    assert!(judge.raced(&HashMap::new()).is_none(), "nothing was fitted");
    judge.tasks.send(Task::Fit { rows: rows[..2_401].to_vec(), day: 1 }).unwrap();
    judge.settled().await;
    let champion = judge.champion().unwrap();
    assert!(judge.raced(&HashMap::new()).is_none(), "nothing was asked");
    fed(&judge, &rows[2_400..]).await;
    let raced = judge.raced(&HashMap::new()).unwrap();
    assert_eq!((raced.acting, raced.events, raced.fitted_on), (Some(champion.code), 600, 2_400));
    assert_eq!((raced.since.as_micros(), raced.fitted_until.as_micros()), (rows[2_400].at_us, rows[2_399].at_us));
    assert_eq!(raced.shadows.map(|shadow| shadow.scorer), Unsupervised::ALL);
    for shadow in raced.shadows {
        let agreed = shadow.agreed;
        assert_eq!(agreed.both + agreed.champion_only + agreed.challenger_only + agreed.neither, 600, "{shadow:?}");
        assert!(shadow.apart.is_some() && shadow.found.recall.is_none(), "{shadow:?}");
    }
    // What acts, and what challenges, is as it was.
    assert_eq!(judge.champion().map(|acting| acting.id.clone()), Some(champion.id.clone()));
    assert!(judge.challenger().is_none());

    // The events of the day that runs are heard again at a start, by the same three.
    other.install(&model(0, 8.0), Post::Champion).unwrap();
    let mut fold = serde_json::to_value(Fold::default()).unwrap();
    fold["rows"] = serde_json::to_value(&rows).unwrap();
    other.begin(&serde_json::from_value(fold).unwrap());
    other.settled().await;
    let again = other.raced(&HashMap::new()).unwrap();
    assert_eq!((again.events, again.fitted_on, again.fitted_until), (600, 2_400, raced.fitted_until));
    assert_eq!(again.shadows.map(|shadow| shadow.found), raced.shadows.map(|shadow| shadow.found));
    // Beside another model it begins anew.
    judge.install(&model(50, 8.0), Post::Champion).unwrap();
    fed(&judge, &rows[2_999..]).await;
    assert_eq!(judge.raced(&HashMap::new()).map(|raced| raced.events), Some(1));
}

#[test]
fn what_is_registered_is_what_stands_on_the_shelf() {
    let folder = tempfile::tempdir().unwrap();
    let judge = judge(Some(Shelf::in_folder(folder.path())));
    let artifact = model(0, 8.0);
    let checksum = Digest(u128::from_str_radix(&artifact.card().unwrap().id, 16).unwrap());
    let card = crate::digest::digest_of_bytes(artifact.card.as_bytes());
    let name: Code = "first".parse().unwrap();
    assert!(judge.try_out(name, checksum, card).is_err(), "there is none");
    judge.shelf.as_ref().unwrap().keep("first", &artifact).unwrap();
    assert_eq!(judge.try_out(name, checksum, card), Ok(()));
    assert!(judge.try_out(name, Digest(1), card).is_err() && judge.try_out(name, checksum, Digest(1)).is_err());
    let file = folder.path().join("models/fraud/first").join(tornello_models::artifact::MODEL_FILE);
    std::fs::File::create(&file).unwrap().set_len(tornello_models::artifact::MODEL_BYTES_MAX + 1).unwrap();
    let refused = judge.try_out(name, checksum, card);
    assert!(matches!(refused, Err(ModelError::BadArtifact { ref problem }) if problem.contains("larger")), "{refused:?}");
}
