//! Near misses: what somebody probably meant.

/// The candidate that is close enough to `name` to be what was meant: the same but for letter case and
/// separators, else at most one edit in three letters away (swapped neighbours count as one edit).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = fold(name);
    let limit = (wanted.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|&candidate| candidate != name)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&wanted, &fold(candidate));
            (distance, candidate)
        })
        .filter(|&(distance, candidate)| distance <= limit && distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean "…"?` for the nearest candidate.
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(name, candidates).map(|found| format!("did you mean \"{found}\"?"))
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_recognised() {
        let keys = ["token", "token_file", "name"];
        assert_eq!(nearest("tokn", keys), Some("token"));
        assert_eq!(nearest("tokenFile", keys), Some("token_file"));
        assert_eq!(nearest("nmae", keys), Some("name"));
        assert_eq!(
            nearest("messagecreated", ["messageCreate"]),
            Some("messageCreate")
        );
    }

    #[test]
    fn a_different_word_is_not_a_near_miss() {
        assert_eq!(nearest("colour", ["token", "name"]), None);
        assert_eq!(nearest("x", ["on"]), None);
        assert_eq!(nearest("", ["a"]), None);
    }
}
