//! A folder without the keys that it had: nothing is started with others in their place unless somebody accepts that.

use tornello_engine::ticket::{CodeError, Payload};

use super::*;
use crate::people::PeopleError;

/// A ticket of the sale that `sell(1, ..)` makes, as its code says it.
fn ticket() -> Payload {
    let start = tomorrow().start();
    Payload::new(HoldId::new(tomorrow(), 1).ticket(0), 1, Proof::None, start, start.plus_seconds(3_600))
}

/// Puts back copies of files.
fn put_back(from: &TempDir, to: &TempDir, names: &[&str]) {
    for name in names {
        std::fs::copy(from.path().join(name), to.path().join(name)).unwrap();
    }
}

fn lose(folder: &TempDir, names: &[&str]) {
    for name in names {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
}

/// A start must be refused for want of these, and make none of them.
async fn is_refused_without(folder: &TempDir, missing: &[KeyFile]) {
    let refused = House::in_folder(folder).await.err();
    assert!(matches!(&refused, Some(StartError::NoKeys { files, .. }) if files == missing), "{missing:?}: {refused:?}");
    let told = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("--new-keys"), "{told}");
    for name in missing.iter().map(|file| file.name()) {
        assert!(told.contains(name) && !folder.path().join(name).exists(), "{name}: {told}");
    }
}

#[actix_rt::test]
async fn a_journal_that_is_put_back_is_not_started_before_its_keys_are() {
    let (folder, restored) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    let signed = house.node().files().unwrap().codes.sign(&ticket());
    house.running.stop().await;
    put_back(&folder, &restored, &[file::FILE]);
    for _ in 0..2 {
        is_refused_without(&restored, &[KeyFile::Signing, KeyFile::Master]).await;
    }
    put_back(&folder, &restored, &["signing.keys"]);
    is_refused_without(&restored, &[KeyFile::Master]).await;
    put_back(&folder, &restored, &["master.key"]);
    let house = House::in_folder(&restored).await.unwrap();
    assert_eq!((house.taken(), house.node().files().unwrap().codes.verify(&signed)), (3, Ok(ticket())));
    house.running.stop().await;
    // Where the journal is missing too, the rest says that there was one.
    lose(&restored, &[file::FILE, "signing.keys"]);
    is_refused_without(&restored, &[KeyFile::Signing]).await;
    lose(&restored, &["master.key", "views.db", "scorers.state"]);
    is_refused_without(&restored, &[KeyFile::Signing, KeyFile::Master]).await;
}

#[actix_rt::test]
async fn new_keys_are_made_in_the_place_of_lost_ones_if_that_is_accepted() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    let signed = house.node().files().unwrap().codes.sign(&ticket());
    house.running.stop().await;
    let settings = Settings { new_keys: true, ..Settings::new(folder.path()) };
    let clock = || Arc::new(ManualClock::new(now()));
    // Nothing is missing: nothing is made.
    Node::start(&settings, clock(), |_| {}).await.unwrap().stop().await;
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!(house.node().files().unwrap().codes.verify(&signed), Ok(ticket()));
    house.running.stop().await;

    // Contacts are not thrown away: somebody may find the key yet.
    lose(&folder, &["signing.keys", "master.key"]);
    let refused = Node::start(&settings, clock(), |_| {}).await.err();
    assert!(matches!(refused, Some(StartError::People(PeopleError::WrongMasterKey))), "{refused:?}");
    assert!(refused.is_some_and(|error| error.to_string().contains("move people.db and people-keys.db away")));
    lose(&folder, &["signing.keys", "master.key", "people.db", "people-keys.db"]);
    Node::start(&settings, clock(), |_| {}).await.unwrap().stop().await;
    // It is said once.
    let house = House::in_folder(&folder).await.unwrap();
    let codes = &house.node().files().unwrap().codes;
    assert_eq!((house.taken(), codes.verify(&signed)), (3, Err(CodeError::UnknownKey { key: SigningKeys::FIRST })));
    assert_eq!(codes.verify(&codes.sign(&ticket())), Ok(ticket()));
    house.running.stop().await;
}

#[actix_rt::test]
async fn keys_that_were_made_after_the_journal_had_begun_are_doubted() {
    let (folder, other, later) = (TempDir::new().unwrap(), TempDir::new().unwrap(), now().plus_seconds(3_600));
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    // On another machine the program is started first, and the copy is put in then.
    Node::start(&Settings::new(other.path()), Arc::new(ManualClock::new(later)), |_| {}).await.unwrap().stop().await;
    put_back(&folder, &other, &[file::FILE]);
    let house = House::in_folder_at(&other, later).await.unwrap();
    assert_eq!(house.taken(), 3);
    house.running.stop().await;
    for (folder, doubted) in [(&folder, false), (&other, true)] {
        let journal = FileJournal::open(&folder.path().join(file::FILE)).await.unwrap();
        let keys = SigningKeys::load_or_create(folder.path().join("signing.keys"), later).unwrap();
        assert_eq!(doubt_keys(&keys, &journal).await, doubted);
    }
}
