//! The text format of Prometheus, 0.0.4, as strictly as its documentation has it.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};

/// The value of each series, by its name with its labels as they stand there.
pub(crate) fn parsed(lines: &[String]) -> BTreeMap<String, f64> {
    let (mut series, mut families, mut family) = (BTreeMap::new(), BTreeSet::new(), None::<(String, String)>);
    let (end, lines) = lines.split_last().expect("text");
    assert_eq!(end, "# EOF");
    let mut lines = lines.iter().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap_or_else(|| panic!("{line:?} explains nothing"));
            assert!(is_name(name) && !text.is_empty() && !text.contains('\\'), "{line:?}");
            assert!(families.insert(name.to_owned()), "{name} is there twice");
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("its type");
            assert!(["counter", "gauge"].contains(&kind), "{name}: {kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}: {kind}");
            assert!(lines.peek().is_some_and(|line| line.starts_with(&format!("{name}{{"))), "{name} has no value");
            family = Some((name.to_owned(), kind.to_owned()));
            continue;
        }
        let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("{line:?} is no sample"));
        let (own, kind) = family.as_ref().expect("a family first");
        assert_eq!(name, own, "it stands with its family");
        let (labels, value) = rest.split_once("} ").unwrap_or_else(|| panic!("{line:?}"));
        for label in labels.split(',') {
            let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line:?}"));
            let value = value.strip_suffix('"').unwrap_or_else(|| panic!("{line:?}"));
            assert!(is_name(name) && !value.contains(['"', '\\', '\n']), "{line:?}");
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
        assert!(value.is_finite() && (kind != "counter" || value >= 0.0), "{line:?}");
        assert_eq!(series.insert(format!("{name}{{{labels}}}"), value), None, "{line:?} is there twice");
    }
    assert!(families.len() >= 20, "{families:?}");
    series
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
