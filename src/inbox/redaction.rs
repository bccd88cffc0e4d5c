//! What is left out of recordings.

use serde_json::Value;

/// What stands in place of a field that must not be recorded.
pub(super) const HIDDEN: &str = "(hidden)";

/// Fields that are left out of recordings: paths with dots, `*` for any name or index.
#[derive(Debug, Clone, Default)]
pub struct Redaction(Vec<Vec<String>>);

impl Redaction {
    /// Leaves out what these paths name, in every event, call and answer.
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let split = |path: String| path.split('.').map(str::to_owned).collect();
        Self(paths.into_iter().map(split).collect())
    }

    /// Whether there was something to leave out.
    pub(super) fn apply(&self, value: &mut Value) -> bool {
        let mut hidden = false;
        for path in &self.0 {
            hidden |= hide(value, path);
        }
        hidden
    }
}

fn hide(value: &mut Value, path: &[String]) -> bool {
    let Some((name, rest)) = path.split_first() else {
        *value = HIDDEN.into();
        return true;
    };
    // Every one of them, not as far as the first.
    let any = |found: bool, hidden: bool| found | hidden;
    match value {
        Value::Object(members) if name == "*" => (members.values_mut())
            .map(|member| hide(member, rest))
            .fold(false, any),
        Value::Object(members) => members
            .get_mut(name)
            .is_some_and(|member| hide(member, rest)),
        // A path goes through every element of a list.
        Value::Array(items) => {
            let path = if name == "*" { rest } else { path };
            (items.iter_mut())
                .map(|item| hide(item, path))
                .fold(false, any)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_must_not_be_recorded_is_left_out() {
        let redaction = Redaction::new(["message.text", "user.*", "list.name"].map(str::to_owned));
        let mut value = json!({
            "message": {"text": "secret", "id": 1}, "user": {"a": 1, "b": {"c": 2}},
            "list": [{"name": "x", "n": 1}, {"name": "y", "n": 2}], "text": "stays",
        });
        assert!(redaction.apply(&mut value));
        assert_eq!(
            value,
            json!({
                "message": {"text": HIDDEN, "id": 1}, "user": {"a": HIDDEN, "b": HIDDEN},
                "list": [{"name": HIDDEN, "n": 1}, {"name": HIDDEN, "n": 2}], "text": "stays",
            })
        );
        assert!(!redaction.apply(&mut json!({"text": "stays", "list": []})));
    }
}
