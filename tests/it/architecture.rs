//! Which room uses which, and which room writes which table. A change of the snapshot is a
//! decision that somebody sees; `INSTA_UPDATE=always cargo test --workspace architecture` writes
//! it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines.
const LONGEST: usize = 400;
/// Written by the tool that diesel brings.
const GENERATED: [&str; 1] = ["server/src/schema.rs"];
/// Folders with our code.
const CODE: [&str; 6] =
    ["proto/build", "proto/src", "sdk/rust", "server/src", "server/tests", "tests"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// All Rust files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The folders of `server/src`, each with its code: comments, line breaks and unit tests taken
/// out, so that statements stand in one line.
fn rooms() -> BTreeMap<String, String> {
    let source = root().join("server/src");
    let mut rooms = BTreeMap::new();
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let is_code = |path: &PathBuf| !path.to_str().unwrap().ends_with("_tests.rs");
            let texts = files(&path).into_iter().filter(is_code).map(|path| code(&path));
            rooms.insert(name, texts.collect::<Vec<_>>().join("\n"));
        }
    }
    rooms
}

fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let text = lines.map(|line| line.trim_end_matches('\\')).collect::<Vec<_>>().join(" ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The modules that code imports from the root of the crate.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(list) => found.extend(first_names(list)),
            None => found.extend(first_name(part)),
        }
    }
    found
}

fn first_name(path: &str) -> Option<String> {
    let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    (end > 0).then(|| path[..end].to_owned())
}

/// `a::{b, c}, d}` → a, d
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(&list[start..=at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(&list[start..=at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    names.into_iter().filter_map(|path| first_name(path.trim_start())).collect()
}

fn tables() -> BTreeSet<String> {
    let schema = fs::read_to_string(root().join("server/src/schema.rs")).unwrap();
    schema
        .split("diesel::table! {")
        .skip(1)
        .filter_map(|text| first_name(text.trim_start()))
        .collect()
}

/// The tables that code writes, through SQL or through diesel.
fn writes(code: &str, tables: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for mark in ["INSERT INTO ", "UPDATE ", "DELETE FROM ", "TRUNCATE "] {
        let after = code.split(mark).skip(1);
        found.extend(after.filter_map(first_name).filter(|name| tables.contains(name)));
    }
    for mark in ["insert_into(", "update(", "delete(", "replace_into("] {
        for argument in code.split(mark).skip(1) {
            let argument = argument.split([')', '(']).next().unwrap_or_default();
            let names = argument.split("::").map(str::trim).map(str::to_owned);
            found.extend(names.filter(|name| tables.contains(name)));
        }
    }
    found
}

#[test]
fn rooms_and_writers_are_as_decided() {
    let (rooms, tables) = (rooms(), tables());
    let mut lines = vec!["# who uses whom".to_owned()];
    let mut writers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (room, code) in &rooms {
        let mut used = imports(code);
        used.retain(|name| rooms.contains_key(name) && name != room && name != "kernel");
        assert!(room != "kernel" || used.is_empty(), "the kernel uses rooms: {used:?}");
        if room != "kernel" {
            let used = used.into_iter().collect::<Vec<_>>().join(" ");
            lines.push(format!("{room}: {used}").trim_end().to_owned());
        }
        for table in writes(code, &tables) {
            writers.entry(table).or_default().insert(room.clone());
        }
    }
    lines.push("\n# who writes what".to_owned());
    for table in &tables {
        let by = writers.get(table).cloned().unwrap_or_default();
        assert!(by.len() <= 1, "{table} is written by {by:?}; only its owner may");
        let by = by.into_iter().collect::<String>();
        lines.push(format!("{table}: {by}").trim_end().to_owned());
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("architecture", lines.join("\n"));
    });
}

#[test]
fn files_are_short() {
    let root = root();
    for path in CODE.iter().flat_map(|folder| files(&root.join(folder))) {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LONGEST || GENERATED.contains(&&*name), "{name} has {lines} lines");
    }
}

#[test]
fn the_scanner_sees_what_it_should() {
    let tables: BTreeSet<String> = ["jobs", "events"].map(str::to_owned).into();
    let sees = |code| writes(code, &tables).into_iter().collect::<Vec<_>>();
    assert_eq!(sees("\"INSERT INTO jobs (id) VALUES ($1)\""), ["jobs"]);
    assert_eq!(sees("FOR UPDATE SKIP LOCKED; SELECT * FROM jobs"), [""; 0]);
    assert_eq!(sees("diesel::insert_into(schema::events::table).values(x)"), ["events"]);
    assert_eq!(sees("diesel::update(jobs::table.find(id))"), ["jobs"]);
    assert_eq!(sees("diesel::delete(events::table.filter(x))"), ["events"]);
    let used: Vec<_> =
        imports("use crate::{a::{b, c}, d}; crate::e::f(); crate::g").into_iter().collect();
    assert_eq!(used, ["a", "d", "e"]);
}
