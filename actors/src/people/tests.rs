//! The promises of `people`: what goes in comes back, and what is erased is in no file any more.

use sqlx::Row as _;

use super::*;

pub(super) const MASTER: [u8; 32] = *b"a master key, for the tests only";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

pub(super) fn form() -> ContactForm {
    ContactForm {
        given_name: "Artemisia".to_owned(),
        family_name: "Gentileschi-Lomi".to_owned(),
        email: "artemisia.gentileschi@scuola.example.it".to_owned(),
        phone: Some("+39 055 294883".to_owned()),
        language: Some("it".to_owned()),
        iban: None,
        account_holder: None,
    }
}

pub(super) fn form_with_account() -> ContactForm {
    ContactForm { iban: Some("it60 x054 2811 1010 0000 0123 456".to_owned()), account_holder: Some(" Orazio Gentileschi ".to_owned()), ..form() }
}

fn contact() -> Contact {
    form().try_into().unwrap()
}

pub(super) fn person(number: u128) -> PersonId {
    // Spread as random ids are, so that pages split in the middle.
    PersonId((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

async fn open(folder: &Path) -> People {
    People::open(folder, MasterKey::from_bytes(MASTER), at(0)).await.unwrap()
}

async fn stored(people: &People, person: PersonId) -> (Vec<u8>, Vec<u8>) {
    sqlx::query_as("SELECT sealed, wrapped FROM people JOIN vault USING (row) JOIN keys.person_keys AS k USING (person) WHERE person = ?")
        .bind(blob(person))
        .fetch_one(&people.inner.pool)
        .await
        .unwrap()
}

fn all_bytes(folder: &Path) -> Vec<u8> {
    std::fs::read_dir(folder).unwrap().flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_contact_comes_back_as_it_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    let plain = Contact::try_from(ContactForm { phone: None, language: Some(" ".to_owned()), ..form() }).unwrap();
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    people.put(person(2), &plain, at(0), Some(at(9))).await.unwrap();
    assert_eq!(people.get(person(1)).await.unwrap(), Some(contact()));
    assert_eq!(people.get(person(2)).await.unwrap().unwrap().language(), None);
    assert_eq!(people.get(person(3)).await.unwrap(), None);

    let with_account = Contact::try_from(form_with_account()).unwrap();
    people.put(person(1), &plain, at(1), None).await.unwrap();
    people.put(person(3), &with_account, at(1), None).await.unwrap();
    people.close().await;
    assert!(!contains(&all_bytes(folder.path()), b"0542811101"), "an account stands in a file");
    let people = open(folder.path()).await;
    assert_eq!(people.get(person(1)).await.unwrap(), Some(plain));
    assert_eq!(people.get(person(3)).await.unwrap(), Some(with_account));
}

/// A kill between the first and the last step of a commit over both files leaves the list of their journals, which SQLite looks at no more. So does, for a moment, whoever is just
/// committing.
#[tokio::test]
async fn what_a_kill_has_left_of_a_commit_is_removed_by_whoever_has_the_folder_alone_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    people.close().await;
    let journals = ["people.db-journal", "people-keys.db-journal"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    for left in ["people.db-mj5E3C7B90A", "people.db-mj00000A9FF"] {
        std::fs::write(folder.path().join(left), format!("{}\0{}\0", journals[0], journals[1])).unwrap();
    }
    let people = open(folder.path()).await;
    let left = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("-mj")).count()
    };
    assert_eq!(left(), 2, "they may be of a server that runs");
    People::remove_leftovers(folder.path());
    assert_eq!(left(), 0);
    assert_eq!(people.get(person(1)).await.unwrap(), Some(contact()));
}

#[tokio::test]
async fn another_master_key_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await;
    let other = People::open(folder.path(), MasterKey::from_bytes([7; 32]), at(0)).await;
    assert!(matches!(other, Err(PeopleError::WrongMasterKey)));
    open(folder.path()).await;
}

#[tokio::test]
async fn after_erasure_no_file_yields_the_person() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    people.put(person(2), &contact(), at(0), None).await.unwrap();
    let (sealed, wrapped) = stored(&people, person(1)).await;
    let before = all_bytes(folder.path());
    assert!(contains(&before, &sealed) && contains(&before, &wrapped));
    for plain in ["Artemisia", "Gentileschi", "scuola.example", "294883"] {
        assert!(!contains(&before, plain.as_bytes()), "{plain} stands in a file");
    }

    assert_eq!(people.erase(person(1), at(1)).await.unwrap(), Erased { was_there: true });
    for when in ["at once", "after closing"] {
        let after = all_bytes(folder.path());
        for part in sealed.chunks_exact(16).chain(wrapped.chunks_exact(8)) {
            assert!(!contains(&after, part), "part of the key or contact is in a file {when}");
        }
        people.close().await;
    }
    let people = open(folder.path()).await;
    assert_eq!(people.get(person(1)).await.unwrap(), None);
    assert_eq!(people.get(person(2)).await.unwrap(), Some(contact()));
}

/// With many people pages split and rows are put again: the moment when copies would be left behind.
#[tokio::test]
async fn erasure_leaves_nothing_among_thousands_either() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    let (people_ref, contact) = (&people, &contact());
    let mut seen: Vec<(u128, Vec<u8>, Vec<u8>)> = Vec::new();
    for round in 0..3 {
        let numbers = (0..1_500_u128).filter(|number| round == 0 || number % 5 == round);
        futures_util::future::join_all(numbers.map(|number| async move {
            people_ref.put(person(number), contact, at(0), (number % 3 == 0).then_some(at(10))).await.unwrap();
        }))
        .await;
        for number in 0..1_500 {
            let (sealed, wrapped) = stored(&people, person(number)).await;
            seen.push((number, sealed, wrapped));
        }
    }
    let last: HashSet<Vec<u8>> = seen[3_000..].iter().filter(|(number, ..)| number % 3 != 0).flat_map(|(_, a, b)| [a.clone(), b.clone()]).collect();
    assert_eq!(people.erase_due(at(9)).await.unwrap(), 0);
    assert_eq!(people.erase_due(at(10)).await.unwrap(), 500);
    assert_eq!(people.erase_due(at(10)).await.unwrap(), 0);

    let bytes = all_bytes(folder.path());
    let windows: HashSet<&[u8]> = bytes.windows(16).collect();
    for (number, sealed, wrapped) in &seen {
        for secret in [sealed, wrapped] {
            let found = secret.chunks_exact(16).filter(|part| windows.contains(part)).count();
            let expected = if last.contains(secret) { secret.len() / 16 } else { 0 };
            assert_eq!(found, expected, "person {number}");
        }
    }
    assert_eq!(people.get(person(3)).await.unwrap(), None);
    assert_eq!(people.get(person(4)).await.unwrap(), Some(contact.clone()));
}

#[tokio::test]
async fn a_repeated_request_shortens_no_date_that_was_moved_on() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), Some(at(10))).await.unwrap();
    people.keep_until(person(1), at(20)).await.unwrap();
    people.put(person(1), &contact(), at(1), Some(at(10))).await.unwrap();
    assert_eq!(people.erase_due(at(19)).await.unwrap(), 0);
    assert_eq!(people.erase_due(at(20)).await.unwrap(), 1);
}

#[tokio::test]
async fn of_those_who_are_due_some_are_given_another_date() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    for (number, due) in [(1, 10), (2, 10), (3, 30), (4, 10)] {
        people.put(person(number), &contact(), at(0), Some(at(due))).await.unwrap();
    }
    people.erase(person(4), at(1)).await.unwrap();
    assert!(!people.is_any_due(at(9)).await.unwrap() && people.is_any_due(at(10)).await.unwrap());
    people.postpone_due(&[person(1), person(3), person(4), person(5)], at(10), at(20)).await.unwrap();
    assert_eq!(people.erase_due(at(10)).await.unwrap(), 1, "the second one");
    assert_eq!((people.get(person(1)).await.unwrap(), people.get(person(2)).await.unwrap()), (Some(contact()), None));
    assert!(!people.is_any_due(at(19)).await.unwrap());
    assert_eq!(people.erase_due(at(29)).await.unwrap(), 1, "the first one; who was not due keeps the date");
    assert_eq!(people.get(person(3)).await.unwrap(), Some(contact()));
}

#[tokio::test]
async fn who_was_stored_more_than_a_day_ago_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    let other = Contact::holder("Another", "Person").unwrap();
    people.put(person(1), &contact(), at(0), Some(at(200_000))).await.unwrap();
    people.put(person(1), &contact(), at(86_400), Some(at(200_000))).await.unwrap();
    let later = people.put(person(1), &other, at(86_401), Some(at(300_000))).await;
    assert!(matches!(later, Err(PeopleError::Settled(who)) if who == person(1)));
    assert_eq!(people.get(person(1)).await.unwrap(), Some(contact()));
    assert_eq!(people.erase_due(at(200_000)).await.unwrap(), 1);
}

#[tokio::test]
async fn an_erased_person_stays_erased_and_erasing_twice_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    assert_eq!(people.erase(person(1), at(0)).await.unwrap(), Erased { was_there: false });
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    assert_eq!(people.erase(person(1), at(1)).await.unwrap(), Erased { was_there: true });
    assert_eq!(people.erase(person(1), at(2)).await.unwrap(), Erased { was_there: false });
    people.close().await;
    let people = open(folder.path()).await;
    let again = people.put(person(1), &contact(), at(3), None).await;
    assert!(matches!(again, Err(PeopleError::Erased(who)) if who == person(1)));
    assert_eq!(people.get(person(1)).await.unwrap(), None);
    let erased_at: i64 = sqlx::query_scalar("SELECT erased_at FROM people").fetch_one(&people.inner.pool).await.unwrap();
    assert_eq!(erased_at, at(1).as_micros());

    people.put(person(2), &contact(), at(4), None).await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM vault").fetch_one(&people.inner.pool).await.unwrap();
    assert_eq!(rows, 1, "the place of an erased contact is used again");
}

#[tokio::test]
async fn who_is_listed_as_erased_and_could_not_be_is_not_stored_again_for_the_next_start_to_erase() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    // Somebody reads the file for so long that nothing can be written to it, as for a copy.
    sqlx::query("PRAGMA busy_timeout = 0").execute(&people.inner.pool).await.unwrap();
    let readers = SqlitePool::connect_with(SqliteConnectOptions::new().filename(folder.path().join("people.db"))).await.unwrap();
    let mut reading = readers.begin().await.unwrap();
    sqlx::query("SELECT person FROM people").fetch_all(&mut *reading).await.unwrap();
    let erased = people.erase(person(1), at(1)).await;
    assert!(matches!(erased, Err(PeopleError::Store { .. })), "{erased:?}");
    reading.rollback().await.unwrap();
    readers.close().await;
    // The request for which they were stored is repeated, and may be done now.
    let again = people.put(person(1), &contact(), at(2), None).await;
    assert!(matches!(again, Err(PeopleError::Erased(who)) if who == person(1)), "{again:?}");
    people.put(person(2), &contact(), at(2), None).await.unwrap();
    people.close().await;
    let people = open(folder.path()).await;
    assert_eq!((people.get(person(1)).await.unwrap(), people.get(person(2)).await.unwrap()), (None, Some(contact())));
}

#[tokio::test]
async fn an_older_copy_of_the_contacts_brings_nobody_back() {
    let folder = tempfile::tempdir().unwrap();
    let (database, copy) = (folder.path().join("people.db"), folder.path().join("copy"));
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    people.put(person(2), &contact(), at(0), None).await.unwrap();
    people.close().await;
    std::fs::copy(&database, &copy).unwrap();
    let people = open(folder.path()).await;
    people.erase(person(1), at(1)).await.unwrap();
    people.close().await;
    std::fs::rename(&copy, &database).unwrap();

    let people = open(folder.path()).await;
    assert_eq!(people.get(person(1)).await.unwrap(), None);
    assert!(matches!(people.put(person(1), &contact(), at(2), None).await, Err(PeopleError::Erased(_))));
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM people WHERE erased_at IS NULL").fetch_one(&people.inner.pool).await.unwrap();
    assert_eq!((left, people.erase_returned(at(3)).await.unwrap()), (1, 0), "what came back is erased before anything is read");
    assert_eq!(people.get(person(2)).await.unwrap(), Some(contact()));
}

const DATABASES: [&str; 2] = ["people.db", "people-keys.db"];

fn copy(from: &Path, to: &Path) {
    for name in DATABASES {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

async fn is_erased(people: &People, person: PersonId) -> bool {
    let put = people.put(person, &contact(), at(9), None).await;
    people.get(person).await.unwrap().is_none() && matches!(put, Err(PeopleError::Erased(who)) if who == person)
}

#[tokio::test]
async fn copies_of_both_databases_bring_nobody_back_who_was_erased_since() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let people = open(folder.path()).await;
    for n in 1..=2 {
        people.put(person(n), &contact(), at(0), None).await.unwrap();
    }
    let (sealed, wrapped) = stored(&people, person(1)).await;
    people.close().await;
    copy(folder.path(), copies.path());

    let people = open(folder.path()).await;
    // One who stands in the copies, one who came after them, and one who never was.
    people.put(person(3), &contact(), at(1), None).await.unwrap();
    for (n, was_there) in [(1, true), (3, true), (4, false)] {
        assert_eq!(people.erase(person(n), at(2)).await.unwrap(), Erased { was_there }, "person {n}");
    }
    people.close().await;
    for round in ["once", "again"] {
        copy(copies.path(), folder.path());
        let people = open(folder.path()).await;
        assert!(is_erased(&people, person(1)).await && is_erased(&people, person(3)).await, "{round}");
        assert_eq!(people.get(person(2)).await.unwrap(), Some(contact()), "{round}");
        people.put(person(4), &contact(), at(3), None).await.unwrap();
        people.close().await;
        let bytes = all_bytes(folder.path());
        assert!(!contains(&bytes, &sealed[..32]) && !contains(&bytes, &wrapped[..32]), "{round}");
        // Nor at the next start, which finds nothing to do.
        let people = open(folder.path()).await;
        assert!(is_erased(&people, person(1)).await && is_erased(&people, person(3)).await, "{round}");
        assert_eq!(people.get(person(4)).await.unwrap(), Some(contact()), "{round}");
        people.close().await;
    }
}

/// As where the master key was lost, and the databases moved away: somebody asks to be erased, and then a copy of the key is found.
#[tokio::test]
async fn databases_that_are_put_back_bring_nobody_back_who_was_not_in_those_of_the_day_of_the_erasure() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let people = open(folder.path()).await;
    for n in 1..=2 {
        people.put(person(n), &contact(), at(0), None).await.unwrap();
    }
    people.close().await;
    copy(folder.path(), copies.path());
    for name in DATABASES {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }

    let people = open(folder.path()).await;
    for seconds in 1..=2 {
        assert_eq!(people.erase_on_request(person(1), at(seconds)).await.unwrap(), Erased { was_there: false });
    }
    assert!(is_erased(&people, person(1)).await);
    // The master key is no person.
    assert_eq!(people.erase_on_request(MASTER_CHECK, at(3)).await.unwrap(), Erased { was_there: false });
    people.close().await;
    assert_eq!(erasures::read(&folder.path().join(erasures::FILE)).unwrap(), Some(vec![person(1)]), "once");
    copy(copies.path(), folder.path());
    let people = open(folder.path()).await;
    assert!(is_erased(&people, person(1)).await);
    assert_eq!(people.get(person(2)).await.unwrap(), Some(contact()));
    people.close().await;
}

#[tokio::test]
async fn an_older_copy_of_the_keys_alone_brings_nobody_back() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    let (_, wrapped) = stored(&people, person(1)).await;
    people.close().await;
    copy(folder.path(), copies.path());
    let people = open(folder.path()).await;
    people.erase(person(1), at(1)).await.unwrap();
    people.close().await;
    std::fs::copy(copies.path().join("people-keys.db"), folder.path().join("people-keys.db")).unwrap();
    let people = open(folder.path()).await;
    assert!(is_erased(&people, person(1)).await);
    people.close().await;
    assert!(!contains(&all_bytes(folder.path()), &wrapped[..32]));
}

#[tokio::test]
async fn a_start_looks_for_those_who_are_listed_and_not_for_all_who_were_ever_erased() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {GONE}"))).fetch_all(&people.inner.pool).await.unwrap();
    let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    assert!(steps.len() > 2 && steps.iter().all(|step| step.starts_with("SEARCH ") || step.contains("json_each")), "{steps:?}");
    for number in 1..=3 {
        people.put(person(number), &contact(), at(0), Some(at(9))).await.unwrap();
    }
    people.erase(person(1), at(1)).await.unwrap();
    people.erase_due(at(9)).await.unwrap();
    assert_eq!(people.gone(&[person(1), person(2), person(4), MASTER_CHECK]).await.unwrap(), HashSet::from([person(1), person(2)]));
    assert_eq!(people.gone(&[]).await.unwrap(), HashSet::new());
    people.close().await;
}

#[tokio::test]
async fn a_line_that_was_cut_short_spoils_no_other() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let list = folder.path().join(erasures::FILE);
    let people = open(folder.path()).await;
    for n in 1..=2 {
        people.put(person(n), &contact(), at(0), None).await.unwrap();
    }
    people.close().await;
    copy(folder.path(), copies.path());
    let people = open(folder.path()).await;
    people.erase(person(1), at(1)).await.unwrap();
    let mut written = std::fs::read(&list).unwrap();
    written.extend_from_slice(&person(9).to_string().as_bytes()[..11]);
    std::fs::write(&list, written).unwrap();
    people.erase(person(2), at(1)).await.unwrap();
    people.close().await;
    copy(copies.path(), folder.path());
    let people = open(folder.path()).await;
    assert!(is_erased(&people, person(1)).await && is_erased(&people, person(2)).await);
}

#[tokio::test]
async fn who_was_erased_before_there_was_a_list_is_listed_when_there_is() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    people.close().await;
    copy(folder.path(), copies.path());
    let people = open(folder.path()).await;
    people.erase(person(1), at(1)).await.unwrap();
    people.close().await;
    std::fs::remove_file(folder.path().join(erasures::FILE)).unwrap();
    open(folder.path()).await.close().await;
    copy(copies.path(), folder.path());
    assert!(is_erased(&open(folder.path()).await, person(1)).await);
}

#[tokio::test]
async fn nobody_is_told_that_somebody_is_erased_who_could_not_be_listed() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join(erasures::FILE);
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    std::fs::remove_file(&list).unwrap();
    std::fs::create_dir(&list).unwrap();
    let erased = people.erase(person(1), at(1)).await;
    assert!(matches!(erased, Err(PeopleError::Erasures { .. })) && erased.is_err_and(|error| error.is_retryable()));
    assert_eq!(people.get(person(1)).await.unwrap(), Some(contact()), "nothing was done");
    std::fs::remove_dir(&list).unwrap();
    assert_eq!(people.erase(person(1), at(2)).await.unwrap(), Erased { was_there: true });
    assert!(std::fs::read_to_string(&list).unwrap().contains(&person(1).to_string()));
}

#[tokio::test]
async fn a_changed_byte_is_an_error_and_not_garbage() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    people.put(person(1), &contact(), at(0), None).await.unwrap();
    people.put(person(2), &contact(), at(0), None).await.unwrap();
    let (sealed, wrapped) = stored(&people, person(1)).await;
    let (other_sealed, other_wrapped) = stored(&people, person(2)).await;
    let write = async |sealed: &[u8], wrapped: &[u8]| {
        sqlx::query("UPDATE vault SET sealed = ? WHERE row = 1").bind(sealed.to_vec()).execute(&people.inner.pool).await.unwrap();
        sqlx::query("UPDATE keys.person_keys SET wrapped = ? WHERE person = ?")
            .bind(wrapped.to_vec())
            .bind(blob(person(1)))
            .execute(&people.inner.pool)
            .await
            .unwrap();
    };
    let damaged = async || matches!(people.get(person(1)).await, Err(PeopleError::Damaged { person: who, .. }) if who == person(1));
    for i in (0..SEALED_BYTES).step_by(23) {
        let mut bad = sealed.clone();
        bad[i] ^= 0x10;
        write(&bad, &wrapped).await;
        assert!(damaged().await, "byte {i} of the contact");
    }
    for i in 0..WRAPPED_BYTES {
        let mut bad = wrapped.clone();
        bad[i] ^= 1;
        write(&sealed, &bad).await;
        assert!(damaged().await, "byte {i} of the key");
    }
    write(&other_sealed, &other_wrapped).await;
    assert!(damaged().await, "another person's contact and key in the place of one's own");
    write(&[], &wrapped).await;
    assert!(damaged().await);
    write(&sealed, &wrapped).await;
    assert_eq!(people.get(person(1)).await.unwrap(), Some(contact()));
    sqlx::query("DELETE FROM keys.person_keys WHERE person = ?").bind(blob(person(1))).execute(&people.inner.pool).await.unwrap();
    assert!(damaged().await, "a key that is missing, and was not destroyed");
}

#[tokio::test]
async fn a_caller_that_goes_away_breaks_nobodys_batch() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    let contact = &contact();
    let mut idle = std::task::Context::from_waker(std::task::Waker::noop());
    let held = people.inner.pool.acquire().await.unwrap();
    for number in 0..8 {
        let mut put = Box::pin(people.put(person(number), contact, at(0), None));
        assert!(put.as_mut().poll(&mut idle).is_pending());
    }
    let mut last = Box::pin(people.put(person(8), contact, at(0), None));
    assert!(last.as_mut().poll(&mut idle).is_pending());
    drop(held);
    last.await.unwrap();
    for number in 0..9 {
        assert!(people.get(person(number)).await.unwrap().is_some(), "{number}");
    }
}

#[tokio::test]
async fn both_files_are_set_so_that_nothing_lingers() {
    let folder = tempfile::tempdir().unwrap();
    let people = open(folder.path()).await;
    let pool = &people.inner.pool;
    for pragma in ["PRAGMA main.journal_mode", "PRAGMA keys.journal_mode"] {
        assert_eq!(sqlx::query_scalar::<_, String>(pragma).fetch_one(pool).await.unwrap(), "truncate");
    }
    for (pragma, value) in
        [("PRAGMA main.synchronous", 2), ("PRAGMA keys.synchronous", 2), ("PRAGMA main.secure_delete", 1), ("PRAGMA keys.secure_delete", 1)]
    {
        assert_eq!(sqlx::query_scalar::<_, i64>(pragma).fetch_one(pool).await.unwrap(), value, "{pragma}");
    }
    #[cfg(unix)]
    for name in ["people.db", "people-keys.db", erasures::FILE] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}
