//! The modules of `@std`: Luau, written once, inside the program.

/// A module that every script can `require("@std/NAME")`.
#[derive(Debug)]
pub struct StdModule {
    /// Its name behind `@std/`.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
}

impl StdModule {
    /// What its chunk is called in errors: `@std/lru.luau`.
    pub fn chunk_name(&self) -> String {
        format!("{PREFIX}{}.luau", self.name)
    }
}

/// What a path to one of them begins with.
const PREFIX: &str = "@std/";

macro_rules! module {
    ($name:literal) => {
        StdModule {
            name: $name,
            source: include_str!(concat!("../../stdlib/", $name, ".luau")),
        }
    };
}

/// Every module, in the order of the reference.
pub static STD: &[StdModule] = &[
    module!("message"),
    module!("lru"),
    module!("cooldown"),
    module!("i18n"),
    module!("commands"),
    module!("paginator"),
    module!("confirm"),
    module!("form"),
];

/// The module that `wanted` means; `None` when `wanted` is no path to `@std`.
///
/// # Errors
/// A sentence that begins with `wanted`: there is no module of that name.
pub fn standard(wanted: &str) -> Option<Result<&'static StdModule, String>> {
    let name = wanted.strip_prefix(PREFIX)?;
    let found = STD.iter().find(|module| module.name == name);
    Some(found.ok_or_else(|| {
        let names: Vec<_> = STD.iter().map(|module| module.name).collect();
        format!("{wanted}: @std has {}", names.join(", "))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_to_std_is_a_module_or_an_error_that_lists_them() {
        assert_eq!(
            standard("@std/lru").unwrap().unwrap().chunk_name(),
            "@std/lru.luau"
        );
        assert!(standard("./lru").is_none());
        let error = standard("@std/lur").unwrap().unwrap_err();
        assert!(
            error.starts_with("@std/lur: @std has message, lru"),
            "{error}"
        );
    }
}
