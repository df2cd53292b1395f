//! What a worker says of its cage. The report comes from the process that has read the weights by then, so it is
//! cut to what a report of ours looks like before it reaches a log or a metric.

/// The rules of a cage: name, and why it does not hold where it does not.
pub(super) type Rules = Vec<(String, Option<String>)>;

/// More rules than a cage has.
const RULES: usize = 16;
/// Characters of a rule's name.
const NAME: usize = 32;
/// Characters of a reason.
const REASON: usize = 200;

/// The report, cut to size.
pub(super) fn cut(report: Rules) -> Rules {
    let plain = |name: &str| name.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(NAME).collect();
    let short = |reason: String| reason.escape_debug().take(REASON).collect();
    report.into_iter().take(RULES).map(|(name, reason)| (plain(&name), reason.map(short))).collect()
}

/// The report in one line.
pub(super) fn tell(rules: &Rules) -> String {
    let tell = |(name, reason): &(String, Option<String>)| match reason {
        None => format!("{name} holds"),
        Some(reason) => format!("{name} does not hold ({reason})"),
    };
    rules.iter().map(tell).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_in_one_line() {
        let rules = vec![("seccomp".into(), None), ("landlock".into(), Some("this kernel has no landlock".into()))];
        assert_eq!(tell(&cut(rules)), "seccomp holds, landlock does not hold (this kernel has no landlock)");
        assert_eq!(tell(&Vec::new()), "");
    }

    #[test]
    fn a_forged_report_is_short_and_plain() {
        let forged = ("a\"} 1\nfake_metric ".repeat(100), Some("b\nERROR forged\u{1b}[2J ".repeat(100)));
        let rules = cut(vec![forged; 1000]);
        assert_eq!(rules.len(), RULES);
        let (name, Some(reason)) = &rules[0] else { panic!("expected a reason") };
        assert_eq!(name, "afake_metricafake_metricafake_me");
        assert!(reason.starts_with("b\\nERROR forged\\u{1b}[2J ") && reason.len() == REASON, "{reason}");
    }
}
