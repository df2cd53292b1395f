//! The name that was probably meant, at the end of an error.

/// Names that are listed where none is near.
const SHOWN: usize = 20;

/// The next step after a name that there is not: the nearest one, or those that there are.
pub(crate) fn instead(name: &str, known: &[String]) -> String {
    if let Some(near) = bobbin_keys::nearest(name, known.iter().map(String::as_str)) {
        return format!("did you mean {near:?}?");
    }
    let shown: Vec<&str> = known.iter().take(SHOWN).map(String::as_str).collect();
    match shown.as_slice() {
        [] => "there are none".to_owned(),
        [only] => format!("there is {only}"),
        [..] => format!("there are {}{}", shown.join(", "), if known.len() > SHOWN { ", .." } else { "" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_all_there_are() {
        let known = ["sentence".to_owned(), "storyteller".to_owned()];
        assert_eq!(instead("storyteler", &known), r#"did you mean "storyteller"?"#);
        assert_eq!(instead("llama", &known), "there are sentence, storyteller");
        assert_eq!(instead("llama", &known[..1]), "there is sentence");
        assert_eq!(instead("llama", &[]), "there are none");
    }
}
