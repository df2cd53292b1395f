//! Which of the names that there are was probably meant by one that there is not.
//!
//! An error that refuses a name ends in [`help`]; whoever writes a sentence of its own takes [`nearest`].

#![forbid(unsafe_code)]

/// Names that are listed where none is near; of more than these their number is told.
const SHOWN: usize = 30;

/// The candidate nearest to `name`, if one is near enough to be a slip of the fingers: at most a third of the longer
/// name's characters differ, and one letter may always. Two neighbours that changed places are one difference.
#[must_use]
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let near = |candidate: &'c str| {
        let most = (name.chars().count().max(candidate.chars().count()) / 3).max(1);
        let distance = strsim::osa_distance(name, candidate);
        (distance <= most).then_some((distance, candidate))
    };
    candidates.into_iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// The next step after an unknown name: the nearest one, or all there are, or `otherwise` if there is none.
#[must_use]
pub fn help<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str> + Clone, otherwise: &str) -> String {
    if let Some(near) = nearest(name, candidates.clone()) {
        return format!("did you mean {near:?}?");
    }
    let known: Vec<String> = candidates.into_iter().map(|candidate| format!("{candidate:?}")).collect();
    match known.len() {
        0 => otherwise.to_owned(),
        1..=SHOWN => format!("known here: {}", known.join(", ")),
        more => format!("{more} names are known here, none of them near"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        assert_eq!(nearest("storyteler", ["hello", "storyteller"]), Some("storyteller"));
        assert_eq!(nearest("soruce", ["source", "route"]), Some("source"));
        assert_eq!(nearest("/infre", ["/infer", "/embed"]), Some("/infer"));
        assert_eq!(nearest("Ab", ["ab"]), Some("ab"));
        assert_eq!(nearest("x", ["source", "route"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn of_two_that_are_near_the_nearer_one_is_meant() {
        assert_eq!(nearest("stori", ["stories", "store"]), Some("store"));
        assert_eq!(nearest("ä", ["ö", "ä"]), Some("ä"));
    }

    #[test]
    fn without_a_near_name_all_names_are_listed_or_counted() {
        assert_eq!(help("zzz", ["a-name", "b-name"], "none"), r#"known here: "a-name", "b-name""#);
        assert_eq!(help("a-nmae", ["a-name", "b-name"], "none"), r#"did you mean "a-name"?"#);
        assert_eq!(help("zzz", [], "declare one"), "declare one");
        let many: Vec<String> = (0..=SHOWN).map(|number| format!("name-{number}")).collect();
        let told = help("zzz", many.iter().map(String::as_str), "none");
        assert_eq!(told, "31 names are known here, none of them near");
    }
}
