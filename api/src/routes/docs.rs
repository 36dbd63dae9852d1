//! The contract itself, and its readable forms: Swagger UI, served from here without a call to anybody else, and a page of all problems. Public.

use std::sync::Arc;

use actix_web::http::header::{self, AcceptEncoding, ContentType, Encoding, Header};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse, get, guard, web};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::contract::Contract;
use crate::problem;

/// What the pages may load: their own files and nothing else. Swagger UI sets styles in its elements and draws its icons as `data:` images.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/// All of it.
pub fn routes(routes: &mut web::ServiceConfig) {
    let config = Config::new(["/openapi.json"]).validator_url("none").doc_expansion("none").filter(true).display_request_duration(true);
    let pages = web::scope("/docs").wrap(DefaultHeaders::new().add((header::CONTENT_SECURITY_POLICY, POLICY))).service(problems);
    let operations = web::resource(["/", "/index.html"]).guard(guard::Get()).to(operations);
    routes
        .service(contract)
        .service(web::redirect("/", "/docs/"))
        .service(web::redirect("/docs", "/docs/"))
        .service(pages.service(operations).service(SwaggerUi::new("/{_:.*}").config(config)));
}

/// What a telephone needs to show a page in its own width, and not as a desk's that is made small.
const OWN_WIDTH: &str = "<meta name=\"viewport\" content=\"width=device-width\">";
/// What stands on the page of all operations where no script draws it.
const WITHOUT_SCRIPT: &str = "<noscript><p>This page is drawn by a script. Without one, read <a href=\"/openapi.json\">the contract</a> itself, and \
    <a href=\"/docs/problems\">the problems</a>.</p></noscript>";

/// The page of all operations, which bears our name and not that of the program that draws it: a tab of a browser, or a bookmark, shows nothing else.
async fn operations() -> HttpResponse {
    // What is configured stands in another file.
    let file = utoipa_swagger_ui::serve("index.html", Arc::new(Config::default())).ok().flatten();
    match file.and_then(|file| String::from_utf8(file.bytes.into_owned()).ok()) {
        Some(page) => {
            let page = page.replace("<title>Swagger UI</title>", &format!("{OWN_WIDTH}<title>Interface - Tornello</title>"));
            let page = page.replace("<div id=\"swagger-ui\"></div>", &format!("<div id=\"swagger-ui\"></div>{WITHOUT_SCRIPT}"));
            HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page)
        }
        None => HttpResponse::NotFound().finish(),
    }
}

/// The contract. It is packed once and not for each who asks: whoever has no key may ask as well, and packing it takes longer than most that is done for those who have one.
#[get("/openapi.json")]
async fn contract(contract: web::Data<Contract>, request: HttpRequest) -> HttpResponse {
    let packed = if takes_gzip(&request) {
        let kept = contract.clone();
        web::block(move || kept.packed()).await.ok().flatten()
    } else {
        None
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .insert_header((header::VARY, "accept-encoding"))
        .content_type(ContentType::json());
    match packed {
        Some(packed) => response.insert_header((header::CONTENT_ENCODING, "gzip")).body(packed),
        None => response.body(contract.text()),
    }
}

/// Whether a caller would rather have an answer packed.
fn takes_gzip(request: &HttpRequest) -> bool {
    let ours = [Encoding::identity(), Encoding::gzip()];
    AcceptEncoding::parse(request).is_ok_and(|accepted| accepted.negotiate(ours.iter()) == Some(Encoding::gzip()))
}

/// Every code that a problem may have.
#[get("/problems")]
async fn problems() -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page())
}

fn page() -> String {
    let row = |problem: problem::Known| {
        let problem::Known { code, status, title, detail } = problem;
        let (title, detail) = (text(&title), text(&detail));
        format!("<tr id=\"{code}\"><td><a href=\"#{code}\"><code>{code}</code></a></td><td>{status}</td><td>{title}</td><td>{detail}</td></tr>\n")
    };
    let rows: String = problem::all().into_iter().map(row).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">{OWN_WIDTH}\
         <title>Problems - Tornello</title>\n<style>\n\
         body {{ font: 1rem/1.5 system-ui, sans-serif; color: #17324d; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }}\n\
         table {{ border-collapse: collapse; width: 100% }}\nth, td {{ text-align: left; vertical-align: top; padding: .5rem; border-bottom: 1px solid #d9dadb }}\n\
         tr:target {{ background: #e6f0fa }}\na {{ color: #0059b3 }}\n\
         @media (max-width: 45rem) {{\ntable, tbody, tr, td {{ display: block }}\nthead {{ display: none }}\n\
         tr {{ padding: .5rem 0; border-bottom: 1px solid #d9dadb }}\ntd {{ padding: .1rem 0; border: 0; overflow-wrap: anywhere }}\n}}\n\
         </style></head>\n<body>\n<h1>Problems</h1>\n\
         <p>What does not work is answered as <code>application/problem+json</code> (RFC 9457). Match on <code>code</code>: it is stable. \
         Beside it stand the data of the code, such as <code>available</code> or <code>opens_at</code>. The interface: <a href=\"/docs/\">/docs</a>.</p>\n\
         <table>\n<thead><tr><th scope=\"col\">Code</th><th scope=\"col\">Status</th><th scope=\"col\">Meaning</th><th scope=\"col\">What to do</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</body>\n</html>\n"
    )
}

/// Text as HTML; what stands between backquotes is code.
fn text(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let parts = escaped.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}
