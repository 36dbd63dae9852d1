//! Places kept by PostgreSQL, as one would who wants it quick and right: one procedure for each request, prepared, in a transaction of its own; the slot's row is
//! locked while its places are counted, a sale locks only its hold.

use std::cell::RefCell;

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio_postgres::{Client, NoTls, Statement};

use super::{Asked, Became};

/// Tables and procedures. Answers: 0 done, 1 no place or no hold, 2 the key was used for something else.
pub const SCHEMA: &str = "
CREATE TABLE slots (slot text PRIMARY KEY, capacity integer NOT NULL, taken integer NOT NULL) WITH (fillfactor = 10);
CREATE TABLE holds (hold text PRIMARY KEY, slot text NOT NULL, people integer NOT NULL, expires_at timestamptz NOT NULL, sold boolean NOT NULL)
    WITH (fillfactor = 70);
CREATE TABLE sales (hold text PRIMARY KEY, slot text NOT NULL, people integer NOT NULL, settlement text NOT NULL, sold_at timestamptz NOT NULL);
CREATE TABLE answers (key text PRIMARY KEY, digest bigint NOT NULL, hold text NOT NULL, people integer NOT NULL);

CREATE FUNCTION hold_places(a_key text, a_digest bigint, a_slot text, a_hold text, a_people integer, OUT became integer, OUT hold text, OUT people integer)
LANGUAGE plpgsql AS $$
DECLARE
    known answers%ROWTYPE;
    place slots%ROWTYPE;
BEGIN
    SELECT * INTO place FROM slots WHERE slots.slot = a_slot FOR UPDATE;
    SELECT * INTO known FROM answers WHERE answers.key = a_key;
    IF FOUND THEN
        became := CASE WHEN known.digest = a_digest THEN 0 ELSE 2 END; hold := known.hold; people := known.people;
        RETURN;
    END IF;
    IF place.slot IS NULL OR place.taken + a_people > place.capacity THEN
        became := 1; RETURN;
    END IF;
    UPDATE slots SET taken = taken + a_people WHERE slots.slot = a_slot;
    INSERT INTO holds VALUES (a_hold, a_slot, a_people, now() + interval '15 minutes', false);
    INSERT INTO answers VALUES (a_key, a_digest, a_hold, a_people);
    became := 0; hold := a_hold; people := a_people;
END $$;

CREATE FUNCTION sell_hold(a_key text, a_digest bigint, a_hold text, a_settlement text, OUT became integer, OUT hold text, OUT people integer)
LANGUAGE plpgsql AS $$
DECLARE
    known answers%ROWTYPE;
    held holds%ROWTYPE;
BEGIN
    SELECT * INTO held FROM holds WHERE holds.hold = a_hold FOR UPDATE;
    SELECT * INTO known FROM answers WHERE answers.key = a_key;
    IF FOUND THEN
        became := CASE WHEN known.digest = a_digest THEN 0 ELSE 2 END; hold := known.hold; people := known.people;
        RETURN;
    END IF;
    IF held.hold IS NULL OR held.sold OR held.expires_at <= now() THEN
        became := 1; RETURN;
    END IF;
    UPDATE holds SET sold = true WHERE holds.hold = a_hold;
    INSERT INTO sales VALUES (a_hold, held.slot, held.people, a_settlement, now());
    INSERT INTO answers VALUES (a_key, a_digest, a_hold, held.people);
    became := 0; hold := a_hold; people := held.people;
END $$;
";

/// A session with the server.
pub async fn session(socket: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(&format!("host={socket} user=bench dbname=postgres"), NoTls).await?;
    actix_web::rt::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("front: {error}");
        }
    });
    Ok(client)
}

struct Session {
    client: Client,
    hold: Statement,
    sell: Statement,
}

/// One worker's connections; a request has one for itself.
pub struct Pool {
    free: Semaphore,
    sessions: RefCell<Vec<Session>>,
}

impl Pool {
    pub async fn connect(socket: &str, connections: usize) -> anyhow::Result<Self> {
        let mut sessions = Vec::new();
        for _ in 0..connections.max(1) {
            let client = session(socket).await?;
            let hold = client.prepare("SELECT became, hold, people FROM hold_places($1, $2, $3, $4, $5)").await?;
            let sell = client.prepare("SELECT became, hold, people FROM sell_hold($1, $2, $3, $4)").await?;
            sessions.push(Session { client, hold, sell });
        }
        Ok(Self { free: Semaphore::new(sessions.len()), sessions: RefCell::new(sessions) })
    }

    pub async fn ask(&self, asked: &Asked<'_>) -> anyhow::Result<Became> {
        let _permit = self.free.acquire().await?;
        let session = self.sessions.borrow_mut().pop().context("a permit is a session")?;
        let people = i32::try_from(asked.people)?;
        let row = if asked.settlement.is_empty() {
            session.client.query_one(&session.hold, &[&asked.key, &asked.digest, &asked.slot, &asked.hold, &people]).await
        } else {
            session.client.query_one(&session.sell, &[&asked.key, &asked.digest, &asked.hold, &asked.settlement]).await
        };
        self.sessions.borrow_mut().push(session);
        let row = row?;
        Ok(match row.try_get::<_, i32>(0)? {
            0 => Became::Done { hold: row.try_get(1)?, people: u32::try_from(row.try_get::<_, i32>(2)?)? },
            1 => Became::Refused("not_enough_places"),
            _ => Became::Refused("idempotency_key_reused"),
        })
    }

    pub async fn open(&self, slot: &str, capacity: i32) -> anyhow::Result<()> {
        let _permit = self.free.acquire().await?;
        let session = self.sessions.borrow_mut().pop().context("a permit is a session")?;
        let done = session.client.execute("INSERT INTO slots VALUES ($1, $2, 0)", &[&slot, &capacity]).await;
        self.sessions.borrow_mut().push(session);
        done?;
        Ok(())
    }

    pub async fn sold(&self, slot: &str) -> anyhow::Result<i64> {
        let _permit = self.free.acquire().await?;
        let session = self.sessions.borrow_mut().pop().context("a permit is a session")?;
        let row = session.client.query_one("SELECT coalesce(sum(people), 0)::bigint FROM sales WHERE slot = $1", &[&slot]).await;
        self.sessions.borrow_mut().push(session);
        Ok(row?.try_get(0)?)
    }
}
