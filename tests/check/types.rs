//! Types: modes, files, and lists of the standard library.

use crate::{bot, check_bot, places, print};

#[test]
fn the_mode_is_the_files_the_folders_or_strict() {
    let loose =
        "local function f(x)\n\treturn x.y.z\nend\nlocal n: number = f({}) or \"text\"\nprint(n)\n";
    let found = |files: &[(&str, &str)]| {
        let mut all = vec![("bot.toml", "")];
        all.extend(files);
        let folder = bot(&all);
        let problems = check_bot(&folder);
        places(&folder, &problems)
    };
    let strict = found(&[("scripts/a.luau", loose)]);
    assert!(
        !strict.is_empty()
            && strict
                .iter()
                .all(|place| place.starts_with("scripts/a.luau:4:")),
        "{strict:?}"
    );
    let nocheck = format!("--!nocheck\n{loose}");
    assert_eq!(found(&[("scripts/a.luau", &nocheck)]), Vec::<String>::new());
    let settings = (
        "scripts/.luaurc",
        "{ \"languageMode\": \"nocheck\", \"aliases\": { \"std\": \"./.std\" } }",
    );
    assert_eq!(
        found(&[("scripts/a.luau", loose), settings]),
        Vec::<String>::new()
    );
    let strict = format!("--!strict\n{loose}");
    assert!(!found(&[("scripts/a.luau", &strict), settings]).is_empty());
    let broken = found(&[
        ("scripts/a.luau", ""),
        ("scripts/.luaurc", "{ \"languageMode\": \"loose\" }"),
    ]);
    assert!(broken[0].contains("Bad mode \"loose\""), "{broken:?}");
}

#[test]
fn a_broken_text_has_no_type_errors_and_its_neighbours_have() {
    let folder = bot(&[
        ("bot.toml", ""),
        ("scripts/a.luau", "local n: number = \"x\"\nprint(n\n"),
        ("scripts/b.luau", "local n: number = \"x\"\nprint(n)\n"),
    ]);
    let problems = check_bot(&folder);
    let places = places(&folder, &problems);
    assert_eq!(places.len(), 2, "{}", print(&problems));
    assert!(places[0].starts_with("scripts/a.luau:3:"), "{places:?}");
    assert_eq!(
        places[1],
        "scripts/b.luau:1:19 Expected this to be 'number', but got 'string'"
    );
}

#[test]
fn types_cross_files_and_circles_are_shown_as_ways() {
    let folder = bot(&[
        ("bot.toml", ""),
        (
            "scripts/a.luau",
            "local x = require(\"./lib/x\")\nlocal n: number = x.name\nprint(n)\n",
        ),
        ("scripts/lib/x.luau", "return { name = \"x\" }\n"),
        ("scripts/b.luau", "require(\"./lib/y\")\n"),
        ("scripts/lib/y.luau", "require(\"./z\")\nreturn 1\n"),
        ("scripts/lib/z.luau", "require(\"./y\")\nreturn 1\n"),
    ]);
    let problems = check_bot(&folder);
    assert_eq!(
        places(&folder, &problems),
        [
            "scripts/a.luau:2:19 Expected this to be 'number', but got 'string'",
            "scripts/lib/y.luau:1:1 modules require each other in a circle: lib/y.luau → lib/z.luau → lib/y.luau",
            "scripts/lib/z.luau:1:1 modules require each other in a circle: lib/z.luau → lib/y.luau → lib/z.luau",
        ],
        "{}",
        print(&problems)
    );
}
