use super::check;
use proptest::prelude::*;

const JSON: &str = r#"
    # a comment
    root   ::= object
    value  ::= object | array | string | number | ("true" | "false" | "null") ws
    object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
    array  ::= "[" ws ( value ("," ws value)* )? "]" ws
    string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
    number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
    ws ::= | " " | "\n" [ \t]{0,20}
"#;

const MOVES: &str = r#"root ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move ::= (pawn | piece | castle) [+#]?
piece ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
castle ::= "O-O" "-O"?
"#;

fn refused(grammar: &str, why: &str) {
    let error = check(grammar).unwrap_err();
    assert!(error.contains(why), "{grammar}: {error}");
}

#[test]
fn ordinary_grammars_pass() {
    for grammar in [
        JSON,
        MOVES,
        "root ::= \"yes\" | \"no\"",
        "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\nterm ::= ident | num | \"(\" ws expr \")\" ws\n\
         ident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ \\t\\n]*",
        "root ::= item+\nitem ::= \"- \" [^\\r\\n]+ \"\\n\"",
        "root ::= \"[\\n\" num (\",\\n\" num)* \"]\"\nnum ::= \"-\"? [0-9]{1,9}",
        "root ::= word (\" \" word){0,50} [.!?]\nword ::= [a-zA-Z]{1,20}",
        "root ::= [^\\x00-\\x1F]{1,2000}",
        "root ::= (\"a\"\n  | \"b\" # a choice\n)\r\n",
        "root ::= .{3} [\\u3040-\\u309F\\U00010000]? \"\\\"\\\\\" ws?\nws ::= \" \"*",
        "root ::= (\"a\" | (\"b\"))* \"\" (\"c\"?){1} (\"d\"?)?",
    ] {
        check(grammar).unwrap_or_else(|error| panic!("{grammar}: {error}"));
    }
}

#[test]
fn a_repetition_ends_after_it_begins_and_is_bounded() {
    refused("root ::= \"a\"{5,2}", "line 1: {5,2} repeats at least 5 and at most 2 times");
    refused("root ::= \"x\"\na ::= (\"a\"){ 3 , # here\n}", "expected where");
    refused("root ::= (\"a\"{\n3\n,\n2})", "line 4: {3,2}");
    refused("root ::= \"a\"{2001}", "at most 2000");
    refused("root ::= \"a\"{0,2001}", "at most 2000");
    refused("root ::= \"a\"{99999999999999999999}", "99999999999999999999");
    refused("root ::= *", "expected where \"*\"");
    refused("root ::= \"\"*", "nothing before this repetition");
    refused("root ::= \"a\"{0}*", "nothing before this repetition");
    check("root ::= \"a\"{2000} \"b\"{2,} \"c\"{0} \"d\"{2,2}").unwrap();
}

#[test]
fn a_grammar_is_bounded_with_its_repetitions_written_out() {
    refused("root ::= ((\"a\"){1,50}){50}", "at most 2000");
    refused("root ::= \"a\"{50}{50}", "at most 2000");
    refused("root ::= \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"{2000}", "more than 50000 elements");
    refused("root ::= \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"{1,2000}", "more than 50000 elements");
    refused(&format!("root ::= {}", "\"a\"{2000} ".repeat(26)), "more than 50000 elements");
    refused(&format!("root ::= {}", "(".repeat(400)), "320 deep");
}

#[test]
fn what_may_be_empty_is_not_repeated() {
    for grammar in [
        "root ::= ((\"a\"?){50}){40}",
        "root ::= (\"a\"?){7} \"b\"",
        "root ::= (\"a\"*)*",
        "root ::= (\"a\" | )+",
        "root ::= (\"a\" | \"\"){2}",
        "root ::= \"a\"?{2}",
        "root ::= x*\nx ::= y y\ny ::= z | \"b\"\nz ::= \"c\"{0,3}",
        "root ::= (\"a\"{0}){0,2}",
    ] {
        refused(grammar, "repeats what may be empty");
    }
}

#[test]
fn a_rule_that_begins_with_itself_is_refused_also_behind_what_may_be_empty() {
    for grammar in [
        "root ::= root \"a\" | \"b\"",
        "root ::= x\nx ::= root",
        "root ::= a root | \"x\"\na ::= b\nb ::= \"\" | \"c\"",
        "root ::= \"x\" (\"a\"? (\"b\"* root)) | y\ny ::= (\"c\"? y \"d\")",
    ] {
        let direct = check(grammar).unwrap_err();
        assert!(direct.contains("can begin with itself"), "{grammar}: {direct}");
    }
    check("root ::= \"(\" root \")\" | \"x\"").unwrap();
    check("root ::= \"a\" root | \"b\" root | \"\"").unwrap();
}

#[test]
fn rules_that_double_each_other_are_counted_without_following_them() {
    for end in ["\"c\"", "\"\""] {
        let mut grammar = String::from("root ::= \"a\" r0\n");
        for rule in 0..40 {
            grammar.push_str(&format!("r{rule} ::= r{next} | r{next} | \"\"\n", next = rule + 1));
        }
        refused(&format!("{grammar}r40 ::= {end}\n"), "ways; at most 20000");
    }
}

#[test]
fn a_long_chain_of_rules_needs_no_stack() {
    let chain = |length: usize| {
        let rules: String = (0..length).map(|rule| format!("r{rule} ::= r{}\n", rule + 1)).collect();
        format!("root ::= r0\n{rules}r{length} ::= \"a\"")
    };
    check(&chain(2_000)).unwrap();
    refused(&chain(20_000), "begin with one another");
}

#[test]
fn what_does_not_read_is_refused_with_its_line() {
    for (grammar, why) in [
        ("", "no rule is named \"root\""),
        ("start ::= \"a\"", "no rule is named \"root\""),
        ("root ::= \"a\"\n\nb ::= c", "line 3: no rule is named \"c\""),
        ("root ::= \"a\"\nb ::= \"b\"\nb ::= \"c\"", "line 3: the rule \"b\" is defined twice"),
        ("root ::= (\"a\"", "line 1: ) is expected"),
        ("root ::= \"a", "line 1: a literal without its closing \""),
        ("root ::= \"a\"\nb_c ::= \"b\"", "line 2: ::= is expected where \"_c"),
        ("root ::= \"\\0\"", "line 1: an escape other than"),
        ("root ::= [\\x4g]", "line 1: an escape without its 2"),
        ("root ::= <a", "a token in <>"),
        ("root = \"a\"", "line 1: ::= is expected"),
    ] {
        refused(grammar, why);
    }
}

#[test]
fn a_backslash_in_a_token_does_not_hide_what_follows() {
    refused("root ::= <\\> ((\"a\"?){50}){40}\nx ::= <b>", "repeats what may be empty");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "[a-c\"\\[\\]():=|*+?{},0-9 \n\\\\#<>!.é]{0,60}") {
        let _ = check(&text);
        let _ = check(&format!("root ::= {text}"));
    }
}
