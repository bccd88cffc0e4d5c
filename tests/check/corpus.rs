//! Corpora: mistakes that are marked where they stand, and right scripts as authors write them.

use std::path::Path;

use argon_host::check;

use crate::print;

/// `file:line:column` and a part of the message for each mistake that is marked in the corpus.
fn planted(dir: &Path) -> Vec<(String, String)> {
    let mut marks = Vec::new();
    for file in argon_host::modules::files(dir).expect("the corpus").paths {
        let text = std::fs::read_to_string(&file).expect("a text");
        for (number, line) in text.lines().enumerate() {
            let Some((_, mark)) = line.split_once("--> ") else {
                continue;
            };
            let (column, part) = mark.split_once(": ").expect("a column and a text");
            let place = format!("{}:{}:{column}", file.display(), number + 1);
            marks.push((place, part.to_owned()));
        }
    }
    marks
}

#[test]
fn every_planted_mistake_of_the_corpus_is_found_where_it_is_and_nothing_else() {
    let bot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted");
    let problems = check::run(&[bot.join("bot.toml")], &|_| None);
    let mut left = planted(&bot.join("scripts"));
    assert!(left.len() >= 30, "only {} are planted", left.len());
    let mut wrong = Vec::new();
    for problem in &problems {
        let place = format!(
            "{}:{}:{}",
            problem.path.display(),
            problem.line,
            problem.column
        );
        let fits = |(at, part): &(String, String)| *at == place && problem.message.contains(part);
        match left.iter().position(fits) {
            Some(index) => drop(left.remove(index)),
            None => wrong.push(problem.to_string()),
        }
        assert!(problem.is_error(), "{problem}");
    }
    assert!(
        wrong.is_empty() && left.is_empty(),
        "not planted:\n{}\nnot found: {left:#?}",
        wrong.join("\n")
    );
}

#[test]
fn the_sample_scripts_are_strict_and_without_a_problem() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let problems = check::run(&[root.join("bot.toml")], &|_| None);
    assert!(problems.is_empty(), "{}", print(&problems));
    for file in argon_host::modules::files(&root.join("scripts"))
        .expect("the samples")
        .paths
    {
        let text = std::fs::read_to_string(&file).expect("a text");
        assert!(text.starts_with("--!strict\n"), "{}", file.display());
    }
}

#[test]
fn right_scripts_of_authors_are_without_a_problem() {
    let bot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/right");
    let problems = check::run(&[bot.join("bot.toml")], &|_| None);
    assert!(problems.is_empty(), "{}", print(&problems));
    let scripts = argon_host::modules::files(&bot.join("scripts"))
        .expect("the corpus")
        .paths;
    assert!(scripts.len() >= 20, "only {} scripts", scripts.len());
}
