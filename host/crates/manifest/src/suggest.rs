//! Nearest-name suggestions for names and keys that nothing declares.

/// The candidate nearest to `name`, if one is near enough to be a slip of the fingers: at most a third of
/// the longer name's characters differ, and at least one letter slip is always allowed.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (name.chars().count().max(candidate.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The next step after an unknown name: the nearest one, or all there are, or `otherwise` if there is none.
pub(crate) fn help_for<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
    otherwise: &str,
) -> String {
    if let Some(near) = nearest(name, candidates.clone()) {
        return format!("did you mean {near:?}?");
    }
    let known: Vec<String> = candidates.into_iter().map(|candidate| format!("{candidate:?}")).collect();
    match known.len() {
        0 => otherwise.to_owned(),
        1..=30 => format!("known here: {}", known.join(", ")),
        more => format!("{more} names are known here, none of them near"),
    }
}

/// Edits (insert, delete, replace, swap of neighbours) between two names, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_char = None;
    for (row, ca) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, cb) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, column) + usize::from(ca != *cb))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = column > 0 && previous_char == Some(*cb) && b.get(column - 1) == Some(&ca);
            if swapped {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut last, current);
        previous_char = Some(ca);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_finds_none() {
        assert_eq!(nearest("storyteler", ["hello", "storyteller"]), Some("storyteller"));
        assert_eq!(nearest("soruce", ["source", "route"]), Some("source"));
        assert_eq!(nearest("x", ["source", "route"]), None);
    }

    #[test]
    fn distance_counts_a_swap_of_neighbours_as_one_edit() {
        assert_eq!(distance("soruce", "source"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn without_a_near_name_all_names_are_listed() {
        assert_eq!(help_for("zzz", ["a-name", "b-name"], "none"), r#"known here: "a-name", "b-name""#);
        assert_eq!(help_for("zzz", [], "declare one"), "declare one");
    }
}
