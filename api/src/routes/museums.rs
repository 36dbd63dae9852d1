//! Museums: who and where they are. Their plans are in [`super::plans`], their tariffs and ceilings in [`super::tariffs`].

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, post, put, web};
use serde::{Deserialize, Serialize};
use tornello_actors::failure::why;
use tornello_actors::forecaster::{REGIONS_OF_ITALY, is_same_region};
use tornello_actors::node::Node;
use tornello_engine::calendar::MonthDay;
use tornello_engine::ids::{Code, MuseumId};
use tornello_engine::museum::{Command, Corrected, Event, Profile};

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::{created, museum_of, not_rebuilt, page, page_size};

/// Between which degrees Italy lies, north and east, in millionths.
const LATITUDES: RangeInclusive<i32> = 35_000_000..=48_000_000;
const LONGITUDES: RangeInclusive<i32> = 6_000_000..=19_000_000;

/// The regions that a museum may be in: Italy's, and those beside them of which somebody has told when schools are closed.
#[derive(Debug, Clone, Default)]
pub struct Regions(pub Arc<BTreeSet<String>>);

impl Regions {
    /// A region as it is written here, however a caller writes it. One that a museum is in already it may keep: it was taken when any was.
    fn named(&self, region: &str, before: Option<&Profile>) -> Result<String, Problem> {
        let mut known = REGIONS_OF_ITALY.into_iter().chain(self.0.iter().map(String::as_str));
        if let Some(known) = known.find(|known| is_same_region(known, region)) {
            return Ok(known.to_owned());
        }
        if before.is_some_and(|before| before.region == region) {
            return Ok(region.to_owned());
        }
        let beside: String = self.0.iter().map(|told| format!(", {told}")).collect();
        Err(Problem::invalid("region: that of a museum is one of Italy's, or one that the file of school breaks names")
            .detail(format!("Forecasts know the school breaks of a region by its name. Known are {}{beside}.", REGIONS_OF_ITALY.join(", "))))
    }
}

/// Who and where a museum is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileForm {
    /// Its short name in addresses: 1 to 23 of `a-z 0-9 - _ .`, not digits alone.
    #[schema(value_type = String, max_length = 23, examples("torre"))]
    pub slug: Code,
    /// Its name, as it calls itself.
    #[schema(max_length = 200, examples("Museo della Torre"))]
    pub name: String,
    /// The municipality.
    #[schema(max_length = 200, examples("Parma"))]
    pub city: String,
    /// The region: one of Italy's, `Provincia autonoma di Bolzano` or `Provincia autonoma di Trento`, or one that the file of school breaks names.
    #[schema(max_length = 200, examples("Emilia-Romagna"))]
    pub region: String,
    /// Degrees north (WGS 84), in millionths: in Italy.
    #[schema(minimum = 35_000_000, maximum = 48_000_000, examples(44_655_000))]
    pub latitude_microdeg: i32,
    /// Degrees east (WGS 84), in millionths: in Italy.
    #[schema(minimum = 6_000_000, maximum = 19_000_000, examples(10_275_000))]
    pub longitude_microdeg: i32,
    /// The feast of the town's patron saint, month first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9]{2}-[0-9]{2}$", examples("01-13"))]
    pub patron: Option<MonthDay>,
}

impl ProfileForm {
    /// Asserts that a museum is in Italy, as the contract says, or where it is already: degrees that are no millionths of them lie in the sea before Africa.
    fn is_in_italy(&self, before: Option<&Profile>) -> Result<(), Problem> {
        let at = |place: &Profile| (place.latitude_microdeg, place.longitude_microdeg);
        if before.map(at) == Some((self.latitude_microdeg, self.longitude_microdeg)) {
            return Ok(());
        }
        for (name, given, within) in
            [("latitude_microdeg", self.latitude_microdeg, LATITUDES), ("longitude_microdeg", self.longitude_microdeg, LONGITUDES)]
        {
            if !within.contains(&given) {
                return Err(Problem::invalid(format!(
                    "{name}: millionths of a degree in Italy, {} to {}, are expected",
                    within.start(),
                    within.end()
                ))
                .detail("Write 44.655 degrees as 44655000."));
            }
        }
        Ok(())
    }
}

impl From<ProfileForm> for Profile {
    fn from(form: ProfileForm) -> Self {
        let ProfileForm { slug, name, city, region, latitude_microdeg, longitude_microdeg, patron } = form;
        Self { slug, name, city, region, latitude_microdeg, longitude_microdeg, patron }
    }
}

/// A museum to take in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuseumForm {
    /// Its number, part of the ids of its slots.
    #[schema(minimum = 1, maximum = 65_535, examples(17))]
    pub number: u16,
    /// Who it is.
    pub profile: ProfileForm,
}

/// A museum.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MuseumView {
    /// Its number.
    #[schema(minimum = 1, maximum = 65_535)]
    number: u16,
    /// Its short name in addresses.
    #[schema(value_type = String, max_length = 23, examples("torre"))]
    slug: Code,
    /// Its name, as it calls itself.
    #[schema(max_length = 200, examples("Museo della Torre"))]
    name: String,
    /// The municipality.
    #[schema(max_length = 200, examples("Parma"))]
    city: String,
    /// The region.
    #[schema(max_length = 200, examples("Emilia-Romagna"))]
    region: String,
    /// Degrees north (WGS 84), in millionths.
    #[schema(minimum = -90_000_000, maximum = 90_000_000, examples(44_655_000))]
    latitude_microdeg: i32,
    /// Degrees east (WGS 84), in millionths.
    #[schema(minimum = -180_000_000, maximum = 180_000_000, examples(10_275_000))]
    longitude_microdeg: i32,
    /// The feast of the town's patron saint, month first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[0-9]{2}-[0-9]{2}$", examples("01-13"))]
    patron: Option<MonthDay>,
}

impl MuseumView {
    fn new(MuseumId(number): MuseumId, profile: Profile) -> Self {
        let Profile { slug, name, city, region, latitude_microdeg, longitude_microdeg, patron } = profile;
        Self { number, slug, name, city, region, latitude_microdeg, longitude_microdeg, patron }
    }
}

/// A page of museums.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MuseumsView {
    /// By number.
    #[schema(max_items = 200)]
    items: Vec<MuseumView>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which page.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// `next_cursor` of the page before; absent for the first page.
    #[param(value_type = Option<String>, max_length = 5, pattern = "^[0-9]{1,5}$")]
    cursor: Option<u16>,
    /// How many; absent: 50.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// List museums.
///
/// Those that the key is good for, by number, in pages.
#[utoipa::path(
    tag = "Museums", operation_id = "list_museums", security(("key" = ["read"])), params(Page),
    responses((status = 200, description = "A page of museums", body = MuseumsView), crate::openapi::Problems),
)]
#[get("/museums", wrap = "Compress::default()")]
pub async fn list(node: web::Data<Node>, caller: Caller, asked: web::Query<Page>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Read)?;
    let (size, after) = (page_size(asked.limit)?, asked.cursor);
    let rows: Vec<MuseumView> = (node.museums().all().iter())
        .filter(|known| after.is_none_or(|after| known.museum.id().0 > after) && caller.may_at(Scope::Read, known.museum.id()).is_ok())
        .filter_map(|known| Some(MuseumView::new(known.museum.id(), known.museum.profile()?.clone())))
        .take(size as usize + 1)
        .collect();
    let (items, next_cursor) = page(rows, size, |last| last.number.to_string());
    Ok(HttpResponse::Ok().json(MuseumsView { items, next_cursor }))
}

/// Read a museum.
///
/// By its slug or its number.
#[utoipa::path(
    tag = "Museums", operation_id = "get_museum", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo")),
    responses((status = 200, description = "The museum", body = MuseumView), crate::openapi::Problems),
)]
#[get("/museums/{museum}")]
pub async fn get(node: web::Data<Node>, caller: Caller, museum: web::Path<String>) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let profile = known.museum.profile().ok_or_else(Problem::not_found)?.clone();
    Ok(HttpResponse::Ok().json(MuseumView::new(known.museum.id(), profile)))
}

/// Register a museum.
///
/// It opens and sells when it has a plan and a tariff. Number and slug are for good; the rest can be changed. Forecasts know the school breaks of a region by its name,
/// so one that is not known is refused, and the names that are told.
#[utoipa::path(
    tag = "Museums", operation_id = "register_museum", security(("key" = ["administer"])),
    request_body(content = MuseumForm, example = json!({"number": 26, "profile": {"slug": "marta-taranto", "name": "Museo archeologico nazionale di Taranto",
        "city": "Taranto", "region": "Puglia", "latitude_microdeg": 40_475_900, "longitude_microdeg": 17_238_700, "patron": "05-10"}})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "The museum is registered", body = MuseumView), crate::openapi::Problems),
)]
#[post("/museums")]
pub async fn register(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    regions: web::ThinData<Regions>,
    form: Json<MuseumForm>,
) -> Result<HttpResponse, Problem> {
    caller.may_at(Scope::Administer, MuseumId(form.number))?;
    let number = form.number;
    let registering = node.museums().registering().await.ok_or_else(Problem::busy)?;
    is_free(&node, number, form.profile.slug)?;
    // A repeat is of what it was then.
    let known = node.museums().get(MuseumId(number));
    let before = known.as_ref().and_then(|known| known.museum.profile());
    form.profile.is_in_italy(before)?;
    let region = regions.named(&form.profile.region, before)?;
    let envelope = envelope(&node, &caller, &key, &["register"], &*form, &[], None)?;
    let command = Command::Register { profile: Profile { region, ..form.into_inner().profile.into() } };
    let record = node.museum_keeping(MuseumId(number), envelope, command, registering).await?;
    let registered = record.events.into_iter().find_map(|event| if let Event::Registered(registered) = event { Some(registered) } else { None });
    let profile = registered.ok_or_else(not_rebuilt)?.profile;
    if let Some(files) = node.files()
        && let Err(error) = files.keys.note_museums(&[MuseumId(number)]).await
    {
        // Only `tornello keys create` does not know it before the next start.
        tracing::warn!(error = %why(&error), number, "the keys were not told of a new museum");
    }
    created(format!("/v1/museums/{}", profile.slug), &MuseumView::new(MuseumId(number), profile))
}

/// Change who and where a museum is.
///
/// All of it is said anew, as it is to be from now on: what is left out is taken away. The slug is for good, and has to be the one that there is. What was printed, and the deadlines of
/// quotes that were sent, stay as they are.
#[utoipa::path(
    tag = "Museums", operation_id = "change_museum", security(("key" = ["administer"])),
    request_body(content = ProfileForm, example = json!({"slug": "parco-colosseo", "name": "Parco archeologico del Colosseo", "city": "Roma", "region": "Lazio",
        "latitude_microdeg": 41_890_200, "longitude_microdeg": 12_492_200, "patron": "06-29"})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The museum is changed", body = MuseumView), crate::openapi::Problems),
)]
#[put("/museums/{museum}")]
pub async fn change(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    regions: web::ThinData<Regions>,
    museum: web::Path<String>,
    form: Json<ProfileForm>,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Administer, &museum)?;
    let before = known.museum.profile().ok_or_else(Problem::not_found)?;
    if form.slug != before.slug {
        return Err(Problem::invalid(format!("slug: that of a museum is for good: {} is expected", before.slug)));
    }
    form.is_in_italy(Some(before))?;
    let region = regions.named(&form.region, Some(before))?;
    let envelope = envelope(&node, &caller, &key, &["profile"], &*form, &[], None)?;
    let profile = Profile { region, ..form.into_inner().into() };
    let record = node.museum(known.museum.id(), envelope, Command::Correct { profile }).await?;
    let corrected =
        record.events.into_iter().find_map(|event| if let Event::Corrected(Corrected { profile }) = event { Some(profile) } else { None });
    Ok(HttpResponse::Ok().json(MuseumView::new(known.museum.id(), corrected.ok_or_else(not_rebuilt)?)))
}

/// Whether a new museum may have this number and slug: what no museum's own stream can know.
fn is_free(node: &Node, number: u16, slug: Code) -> Result<(), Problem> {
    if number == 0 || slug.as_str().bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::invalid("the number must be 1 to 65535, and the slug not of digits alone"));
    }
    match node.museums().by_slug(slug) {
        Some(other) if other.museum.id() != MuseumId(number) => {
            Err(Problem::new(StatusCode::CONFLICT, "slug_taken", "another museum has this slug").with("number", other.museum.id().0))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regions_that_are_taken_are_those_whose_school_breaks_are_known() {
        let regions = Regions::default();
        let shipped = tornello_datasets::school_breaks::load().unwrap().into_iter().map(|told| told.region);
        let museums = tornello_datasets::museums::load().unwrap().into_iter().map(|museum| museum.region);
        for region in shipped.chain(museums) {
            assert_eq!(regions.named(&region, None).unwrap(), region);
        }
        for (written, region) in [("VALLE D\u{2019}AOSTA", "Valle d'Aosta"), ("emilia romagna", "Emilia-Romagna")] {
            assert_eq!(regions.named(written, None).unwrap(), region);
        }
        assert!(regions.named("San Marino", None).is_err());
        let beside = Regions(Arc::new(BTreeSet::from(["San Marino".to_owned()])));
        assert_eq!(beside.named("san marino", None).unwrap(), "San Marino");
    }
}
