//! Every path and every type that ARCHITECTURE.md names exists.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of the workspace").to_path_buf()
}

/// What stands between single backticks outside of drawings.
fn quoted(text: &str) -> Vec<String> {
    let prose: String =
        text.split("```").step_by(2).flat_map(|part| part.chars().chain(['\n'])).collect();
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(path).expect("source is text"));
        }
    }
}

#[test]
fn the_architecture_names_nothing_that_is_not_there() {
    let root = root();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let mut code = String::new();
    sources(&root.join("crates"), &mut code);
    let (mut paths, mut types) = (0, 0);
    for name in quoted(&text) {
        let first = name.chars().next().unwrap();
        if name.contains('/') || name.ends_with(".rs") {
            paths += 1;
            assert!(root.join(&name).exists(), "ARCHITECTURE.md names {name}");
        } else if first.is_uppercase() && name.chars().all(char::is_alphanumeric) && name.len() > 1
        {
            types += 1;
            let defined = ["struct", "enum", "trait", "type"]
                .iter()
                .any(|kind| code.contains(&format!("{kind} {name}")));
            assert!(defined, "ARCHITECTURE.md names the type {name}");
        }
    }
    assert!(paths > 10 && types > 10, "{paths} paths, {types} types: the test reads too little");
}

#[test]
fn links_of_the_readme_lead_somewhere() {
    let root = root();
    for document in [
        "README.md",
        "deploy/README.md",
        "docs/board.md",
        "docs/contract.md",
        "docs/metrics.md",
        "docs/rehearsal.md",
        "docs/reliability.md",
        "docs/runbook.md",
        "docs/security.md",
    ] {
        let path = root.join(document);
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                let file = link.split('#').next().unwrap();
                assert!(path.parent().unwrap().join(file).exists(), "{document} links {link}");
            }
        }
    }
}
