//! What holds of the tree as a whole and no compiler checks: which crate may know which, where the clock may be read, what the core must not touch, that
//! every numbered invariant is documented and tested, under which licences we build. It protects the design, not taste. Each test lists all that it found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate and those of ours that it may depend on; `tests` and `benches` may reach anything.
const ARROWS: [(&str, &[&str]); 6] = [
    ("engine", &[]),
    ("models", &[]),
    ("datasets", &["models"]),
    ("actors", &["engine", "models"]),
    ("training", &["datasets", "models"]),
    ("api", &["actors", "engine", "training", "datasets"]),
];

const WALL_CLOCKS: [&str; 6] = ["SystemTime::now", "Instant::now", "ClockId::Boottime", "Timestamp::now", "Zoned::now", "Utc::now"];

/// Licences that a work under EUPL-1.2 may contain; the font licences are for embedded fonts only, but nothing else uses them.
const LICENCES: [&str; 18] = [
    "0BSD",
    "Apache-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "EUPL-1.2",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OFL-1.1",
    "Ubuntu-font-1.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that must not come in, not even through others: incompatible licences, unseeded or unmaintained code, engines we do not want in the process.
const BANNED: [&str; 21] = [
    "actix-governor",
    "actix-web-actors",
    "anomaly_detection",
    "awc",
    "bincode",
    "biscuit-auth",
    "datafusion",
    "duckdb",
    "extended-isolation-forest",
    "figment",
    "madsim",
    "ndarray-npy",
    "opendp",
    "pg-embed",
    "polars",
    "postgresql_embedded",
    "printpdf",
    "prometheus",
    "rusqlite",
    "testcontainers",
    "typst",
];

#[test]
fn arrows_point_as_the_architecture_says() {
    let mut problems = Vec::new();
    for package in members(&metadata(&["--no-deps"])) {
        let name = ours(text(&package["name"])).expect("every member is named tornello-*");
        if ["tests", "benches"].contains(&name) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            problems.push(format!("{name} is a new crate: say here what it may know"));
            continue;
        };
        for to in items(&package["dependencies"]).filter_map(|dependency| ours(text(&dependency["name"]))).filter(|to| !allowed.contains(to)) {
            problems.push(format!("{name} -> {to}"));
        }
    }
    none(problems, "dependencies against the architecture");
}

#[test]
fn only_the_clock_reads_the_clock() {
    let clock = root().join("actors/src/clock.rs");
    let sources = sources(&["engine", "models", "actors/src", "api/src"]);
    none(found(sources.iter().filter(|source| source.path != clock), |line| WALL_CLOCKS.iter().any(|c| line.contains(c))), "wall clocks");
}

#[test]
fn the_pure_crates_do_no_io_and_no_chance() {
    let mut problems = found(&sources(&["engine", "models"]), |line| {
        ["std::fs", "std::net", "std::env", "tokio::", "rand::", "use rand", "use tokio"].iter().any(|banned| line.contains(banned))
            || (line.contains("std::{") && words(line).any(|word| ["fs", "net", "env"].contains(&word)))
    });
    for package in members(&metadata(&["--no-deps"])).filter(|p| ["tornello-engine", "tornello-models"].contains(&text(&p["name"]))) {
        let dependencies = items(&package["dependencies"]).map(|dependency| text(&dependency["name"]));
        problems.extend(dependencies.filter(|d| ["rand", "tokio"].contains(d)).map(|d| format!("{} -> {d}", text(&package["name"]))));
    }
    none(problems, "impurities");
}

#[test]
fn every_invariant_is_documented_and_tested() {
    let engine = sources(&["engine/src"]);
    let defined: BTreeSet<String> = engine.iter().flat_map(|source| source.text.lines().filter(|line| is_doc(line)).flat_map(invariants)).collect();
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md stands at the root");
    let documented: BTreeSet<String> = invariants(&architecture).collect();
    let tests: String = sources(&["engine", "actors", "api", "tests"]).iter().map(|source| source.tests()).collect();
    let tested: BTreeSet<String> = invariants(&tests).collect();
    assert!(!defined.is_empty(), "the engine's documentation defines no invariant");
    let mut problems: Vec<String> = defined.difference(&documented).map(|id| format!("{id} is not in ARCHITECTURE.md")).collect();
    problems.extend(defined.difference(&tested).map(|id| format!("{id} is named by no test")));
    problems.extend(documented.difference(&defined).map(|id| format!("{id} is in ARCHITECTURE.md and not in the engine")));
    none(problems, "invariants out of step");
}

#[test]
fn every_dependency_has_a_licence_we_can_take() {
    let metadata = metadata(&["--filter-platform", &host()]);
    let packages: BTreeMap<&str, &Value> = items(&metadata["packages"]).map(|package| (text(&package["id"]), package)).collect();
    let nodes: BTreeMap<&str, &Value> = items(&metadata["resolve"]["nodes"]).map(|node| (text(&node["id"]), node)).collect();
    let mut reached: BTreeSet<&str> = items(&metadata["workspace_members"]).map(text).collect();
    let mut ahead: Vec<&str> = reached.iter().copied().collect();
    while let Some(id) = ahead.pop() {
        let built = items(&nodes[id]["deps"]).filter(|dep| items(&dep["dep_kinds"]).any(|kind| kind["kind"] != "dev")).map(|dep| text(&dep["pkg"]));
        ahead.extend(built.filter(|next| reached.insert(next)));
    }
    assert!(reached.len() > 50, "only {} packages were found: the graph was not read", reached.len());
    let mut problems = Vec::new();
    for package in reached.iter().map(|id| packages[id]) {
        let licence = package["license"].as_str().unwrap_or_default();
        if !acceptable(licence) {
            problems.push(format!("{} {}: licence {licence:?}", text(&package["name"]), text(&package["version"])));
        }
    }
    problems
        .extend(packages.values().map(|package| text(&package["name"])).filter(|name| BANNED.contains(name)).map(|name| format!("{name} is banned")));
    none(problems, "dependencies that cannot stay");
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    for licence in
        ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT OR GPL-2.0) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception", "MIT AND ISC OR X"]
    {
        assert!(acceptable(licence), "{licence}");
    }
    for licence in
        ["", "GPL-3.0-only", "MIT AND AGPL-3.0-only", "(MIT OR ISC) AND GPL-2.0", "SSPL-1.0 OR BUSL-1.1", "GPL-2.0 WITH Classpath-exception-2.0"]
    {
        assert!(!acceptable(licence), "{licence}");
    }
}

#[test]
fn every_source_says_what_it_is() {
    let all = all_sources();
    assert!(all.len() > 20, "only {} sources were found", all.len());
    let problems = all.iter().filter(|source| !source.text.starts_with("//! "));
    none(problems.map(|source| format!("{} does not open with //! and what it owns", source.name())).collect(), "sources without an opening");
}

#[test]
fn nothing_is_left_undone_skipped_or_slept_through() {
    // The words are joined here, so that this file does not contain them.
    let undone = [["todo", "!("], ["unimplemented", "!("], ["#[ig", "nore"]].map(|parts| parts.concat());
    let mut problems = found(&all_sources(), |line| undone.iter().any(|word| line.contains(word.as_str())));
    let naps = ["thread", "time"].map(|module| format!("{module}::sleep"));
    for source in all_sources() {
        let sleeps = code(source.tests()).filter(|(_, line)| naps.iter().any(|nap| line.contains(nap.as_str()))).count();
        problems.extend((sleeps > 0).then(|| format!("{}: {sleeps} sleeps in tests", source.name())));
    }
    none(problems, "things left undone");
}

/// Of two shapes of one name the contract would publish one, for both.
#[test]
fn no_two_shapes_of_the_contract_share_a_name() {
    let mut shapes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources(&["api"]) {
        let lines: Vec<_> = code(&source.text).collect();
        for (place, (number, _)) in lines.iter().enumerate().filter(|(_, (_, line))| line.contains("derive(") && line.contains("ToSchema")) {
            let names = lines[place + 1..].iter().find_map(|(_, line)| line.split_once("struct ").or_else(|| line.split_once("enum ")));
            let name = names.map(|(_, rest)| rest.chars().take_while(|c| c.is_alphanumeric()).collect()).unwrap_or_default();
            shapes.entry(name).or_default().push(format!("{}:{number}", source.name()));
        }
        // Lists of words have names that no type says.
        for (number, line) in lines.iter().filter(|(_, line)| line.trim_start().starts_with("const NAME: &'static str = ")) {
            let name = line.split('"').nth(1).unwrap_or_default().to_owned();
            shapes.entry(name).or_default().push(format!("{}:{number}", source.name()));
        }
    }
    assert!(shapes.len() > 100, "only {} shapes were found", shapes.len());
    let twice = shapes.iter().filter(|(_, places)| places.len() > 1);
    none(twice.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect(), "shapes of one name");
}

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap_or(&self.path).display().to_string()
    }

    /// The part that is test: all of a file of the tests crate or named `tests.rs`, what follows `#[cfg(test)]` in another.
    fn tests(&self) -> &str {
        let name = self.path.strip_prefix(root()).unwrap_or(&self.path);
        if name.starts_with("tests") || name.ends_with("tests.rs") || name.iter().any(|part| part == "tests") {
            &self.text
        } else {
            self.text.find("#[cfg(test)]").map_or("", |start| &self.text[start..])
        }
    }
}

/// Every line of code (comments excepted) on which `wrong` holds, by file and number.
fn found<'a>(sources: impl IntoIterator<Item = &'a Source>, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let in_source = |source: &'a Source| {
        let lines = code(&source.text).filter(|(_, line)| wrong(line));
        lines.map(|(number, line)| format!("{}:{number}: {}", source.name(), line.trim())).collect::<Vec<_>>()
    };
    sources.into_iter().flat_map(in_source).collect()
}

/// The lines of a text that are not comments, numbered.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn none(problems: Vec<String>, what: &str) {
    assert!(problems.is_empty(), "{what}:\n  {}", problems.join("\n  "));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate stands in the workspace").to_owned()
}

fn all_sources() -> Vec<Source> {
    sources(&["engine", "models", "datasets", "actors", "training", "api", "tests", "benches"])
}

/// The Rust sources under some folders of the tree, those that exist.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut ahead: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).filter(|folder| folder.is_dir()).collect();
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree can be read") {
            let path = entry.expect("an entry of the tree can be read").path();
            if path.is_dir() {
                ahead.extend((!path.ends_with("target")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source is text");
                sources.push(Source { path, text });
            }
        }
    }
    sources
}

fn is_doc(line: &str) -> bool {
    ["//!", "///"].iter().any(|mark| line.trim_start().starts_with(mark))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The invariants named in a text: `SL-1`, `MU-2`.
fn invariants(text: &str) -> impl Iterator<Item = String> {
    let tokens = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    tokens.filter_map(|token| {
        let (prefix, number) = token.split_once('-')?;
        let known = ["SL", "MU", "PY", "VO", "OR", "QU", "TL", "AC", "CA", "RU", "MR", "AT", "AD", "PL"].contains(&prefix);
        (known && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then(|| token.to_owned())
    })
}

/// Whether an SPDX expression can be met with the licences that we take. A slash is the old way to write OR; an exception only permits more.
fn acceptable(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut met = all_of(rest);
    while take(rest, "OR") {
        met |= all_of(rest);
    }
    met
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut met = one(rest);
    while take(rest, "AND") {
        met &= one(rest);
    }
    met
}

fn one(rest: &mut &[&str]) -> bool {
    if take(rest, "(") {
        return any_of(rest) & take(rest, ")");
    }
    let Some((licence, after)) = rest.split_first() else { return false };
    *rest = after;
    if take(rest, "WITH") {
        *rest = rest.get(1..).unwrap_or_default();
    }
    LICENCES.contains(licence)
}

fn take(rest: &mut &[&str], token: &str) -> bool {
    let found = rest.first() == Some(&token);
    if found {
        *rest = &rest[1..];
    }
    found
}

/// What cargo knows of the workspace, without the network: whatever is built is already here.
fn metadata(arguments: &[&str]) -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    let run = cargo.args(["metadata", "--format-version", "1", "--offline", "--locked"]).args(arguments).current_dir(root()).output();
    let output = run.expect("cargo can be run");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata speaks JSON")
}

/// The platform we build on: packages of others were never fetched.
fn host() -> String {
    let output = Command::new(env!("CARGO")).args(["version", "--verbose"]).output().expect("cargo can be run");
    let version = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host").to_owned()
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    items(&metadata["packages"])
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().expect("cargo metadata lists it").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata names it")
}

fn ours(package: &str) -> Option<&str> {
    package.strip_prefix("tornello-")
}
