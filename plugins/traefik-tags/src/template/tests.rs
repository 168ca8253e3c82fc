#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const V1: Env<'static> = Env { functions: V1_FUNCTIONS, prefix: "traefik" };
const V3: Env<'static> = Env { functions: V3_FUNCTIONS, prefix: "traefik" };

fn v1_data() -> Value {
    let tags = ["traefik.enable=true", "Zone=eu", "green", "traefik.alias=al"];
    Value::record([
        ("ServiceName", "web".into()),
        ("Domain", "corp.test".into()),
        ("Attributes", Value::texts(tags.into_iter())),
    ])
}

fn v3_data() -> Value {
    let labels = BTreeMap::from([("traefik.host".to_owned(), "a.test".into()), ("empty".to_owned(), "".into())]);
    Value::record([("Name", "Pay.Core_2".into()), ("Labels", Value::Map(labels))])
}

fn render(text: &str, data: &Value, env: &Env<'_>) -> Result<String, TemplateError> {
    Template::parse(text, env)?.render(data, env)
}

fn check(env: &Env<'_>, data: &Value, rows: &[(&str, &str)]) {
    for (text, wanted) in rows {
        assert_eq!(render(text, data, env), Ok((*wanted).to_owned()), "{text}");
    }
}

#[test]
fn v1_rules() {
    check(
        &V1,
        &v1_data(),
        &[
            ("Host:{{.ServiceName}}.{{.Domain}}", "Host:web.corp.test"),
            (r#"{{getTag "zone" .Attributes "z0"}}"#, "eu"),
            (r#"{{getTag "GREEN" .Attributes "x"}}"#, "green"),
            (r#"{{getTag "missing" .Attributes "z0"}}"#, "z0"),
            (r#"{{getAttribute "alias" .Attributes "none"}}"#, "al"),
            (r#"{{getAttribute "zone" .Attributes "none"}}"#, "none"),
            (r#"{{if hasTag "green" .Attributes}}g{{else}}n{{end}}"#, "g"),
            (r#"{{if hasTag "blue" .Attributes}}b{{else if eq .Domain "corp.test"}}c{{else}}n{{end}}"#, "c"),
            ("no template at all }}", "no template at all }}"),
        ],
    );
}

#[test]
fn v3_rules() {
    check(
        &V3,
        &v3_data(),
        &[
            ("Host(`{{ normalize .Name }}`)", "Host(`Pay-Core-2`)"),
            ("Host(`{{ .Name | normalize | lower }}`)", "Host(`pay-core-2`)"),
            (r#"{{ index .Labels "traefik.host" }}"#, "a.test"),
            (r#"{{ index .Labels "missing" }}"#, ""),
            (r#"{{ index .Labels "missing" | default "d.test" }}"#, "d.test"),
            (r#"{{ trimPrefix "Pay." .Name }}"#, "Core_2"),
            (r#"{{ trimSuffix "_2" .Name | upper }}"#, "PAY.CORE"),
            (r#"{{ replace "." "-" .Name }}"#, "Pay-Core_2"),
            (r#"{{ if contains "Core" .Name }}y{{ end }}"#, "y"),
            (r#"{{ if hasPrefix "x" .Name }}y{{ else }}n{{ end }}"#, "n"),
            (r#"{{ splitList "." .Name | join "/" }}"#, "Pay/Core_2"),
            (r#"{{ first (splitList "." .Name) }}{{ last (splitList "." .Name) }}"#, "PayCore_2"),
            (
                r#"{{ ternary "a" "b" (eq .Name "x") }}{{ coalesce "" "c" }}{{ trunc 3 .Name }}{{ trunc -1 .Name }}"#,
                "bcPay2",
            ),
            (
                r#"{{ has "a" (list "a" "b") }} {{ empty "" }} {{ hasKey .Labels "empty" }} {{ quote "x" }}"#,
                r#"true true true "x""#,
            ),
        ],
    );
}

#[test]
fn the_functions_of_sprig() {
    check(
        &V3,
        &v3_data(),
        &[
            (
                r#"{{ title "a bc-d" }}{{ untitle "A Bc" }}{{ swapcase "aB" }}{{ initials "first try" }}"#,
                "A Bc-Da bcAbft",
            ),
            (
                r#"{{ repeat 3 "ab" }}{{ substr 0 3 .Name }}{{ substr 4 -1 .Name }}{{ squote "x" }}"#,
                "abababPayCore_2'x'",
            ),
            (r#"{{ cat "a" 1 true }}|{{ plural "one" "many" 1 }}{{ plural "one" "many" 2 }}"#, "a 1 true|onemany"),
            (r#"{{ $p := split "." .Name }}{{ $p._1 }}/{{ $p._0 }}{{ (splitn "-" 2 "a-b-c")._1 }}"#, "Core_2/Payb-c"),
            (r#"{{ regexMatch "^P.y" .Name }}{{ regexFind "[0-9]+" .Name }}"#, "true2"),
            (r#"{{ regexReplaceAll "(\\w+)\\.(\\w+)" .Name "${2}-${1}" }}"#, "Core_2-Pay"),
            (r#"{{ regexReplaceAllLiteral "[._]" .Name "$1" }}{{ regexQuoteMeta "a.b" }}"#, r"Pay$1Core$12a\.b"),
            (
                r#"{{ regexSplit "[._]" .Name -1 | join "," }}{{ regexFindAll "[aeo]" .Name 2 | join "" }}"#,
                "Pay,Core,2ao",
            ),
            (r#"{{ sha1sum "abc" }}"#, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (r#"{{ sha256sum "abc" }}"#, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (r#"{{ sha512sum "abc" | trunc 16 }} {{ adler32sum "Wikipedia" }}"#, "ddaf35a193617aba 300286872"),
            (r#"{{ b64enc .Name }} {{ "YcOp" | b64dec }}"#, "UGF5LkNvcmVfMg== aé"),
            (
                r#"{{ kebabcase "PayCore" }} {{ snakecase "PayCore" }} {{ camelcase "pay_core" }}"#,
                "pay-core pay_core PayCore",
            ),
            (r#"{{ abbrev 6 .Name }} {{ abbrev 10 .Name }} {{ abbrev 5 "aéééé" }}"#, "Pay... Pay.Core_2 a..."),
            (r#"{{ wrap 5 "a bc def" }}|{{ indent 2 "a\nb" }}{{ nindent 1 "c" }}"#, "a bc\ndef|  a\n  b\n c"),
            (r#"{{ urlquery "a b/é" }}{{ trimall "$" "$5$" }}"#, "a+b%2F%C3%A95"),
            (r#"{{ untilStep 3 8 2 | join "," }}{{ untilStep 1 0 1 | len }}"#, "3,5,70"),
            (r#"{{ kindIs "string" .Name }}{{ deepEqual 1 2 }}{{ all 1 "" }}{{ any 1 "" }}"#, "truefalsefalsetrue"),
            (
                r#"{{ append (list 1) 2 | join "" }}{{ prepend (list 1) 2 | join "" }}{{ concat (list 1) (list 2 3) | join "" }}"#,
                "1221123",
            ),
            (
                r#"{{ uniq (list 1 1 2) | join "" }}{{ compact (list "" 3) | join "" }}{{ without (list 1 2) 2 | join "" }}"#,
                "1231",
            ),
            (
                r#"{{ reverse (list 1 2) | join "" }}{{ sortAlpha (list "b" "a") | join "" }}{{ tuple 1 2 | toStrings | join "" }}"#,
                "21ab12",
            ),
            (r#"{{ $d := dict "a" 1 "b" 2 }}{{ $d.b }}{{ keys $d | join "" }}{{ values $d | join "" }}"#, "2ab12"),
            (
                r#"{{ $d := dict "a" 1 "b" 2 }}{{ keys (pick $d "a") | join "" }}{{ keys (omit $d "a") | join "" }}{{ pluck "a" $d | first }}"#,
                "ab1",
            ),
            (r#"{{ add 1 2 3 }}{{ add1 1 }}{{ sub 5 3 }}{{ mul 2 3 }}{{ div 7 2 }}{{ mod 7 4 }}"#, "622633"),
            (
                r#"{{ max 1 3 2 }}{{ min 2 1 }}{{ atoi "12" }}{{ int "7" }}{{ range until 3 }}{{ . }}{{ end }}"#,
                "31127012",
            ),
            (
                r#"{{ slice .Name 4 }}{{ slice (list 1 2 3) 1 2 | join "" }}{{ kindOf .Name }}{{ println 1 }}"#,
                "Core_22string1\n",
            ),
        ],
    );
}

#[test]
fn the_language() {
    check(
        &V3,
        &v3_data(),
        &[
            ("a {{- 1 -}} b", "a1b"),
            ("a{{/* not seen */}}b{{- /* nor this */ -}} c", "abc"),
            ("{{ $n := .Name }}{{ $n }}{{ $n = `x` }}{{ $n }}", "Pay.Core_2x"),
            ("{{ with .Labels }}{{ .empty }}{{ index . `traefik.host` }}{{ end }}", "a.test"),
            ("{{ with .Labels.none }}a{{ else }}b{{ end }}", "b"),
            ("{{ range $i, $e := list `a` `b` }}{{ $i }}{{ $e }};{{ end }}", "0a;1b;"),
            ("{{ range $k, $v := .Labels }}{{ $k }}={{ $v }};{{ end }}", "empty=;traefik.host=a.test;"),
            ("{{ range list }}x{{ else }}none{{ end }}", "none"),
            ("{{ range list `a` }}{{ . }}{{ $.Name }}{{ end }}", "aPay.Core_2"),
            (r#"{{ printf "%s-%d-%v-%q%%" .Name 3 true "q" }}"#, r#"Pay.Core_2-3-true-"q"%"#),
            ("{{ and true `x` }} {{ or false `y` }} {{ not nil }} {{ len .Name }}", "x y true 10"),
            ("{{ lt 1 2 }}{{ ge `b` `a` }}{{ ne 1 1 }}{{ eq 1 2 1 }}", "truetruefalsetrue"),
            ("{{ (index (list `a` `b`) 1) }}{{ -5 }}", "b-5"),
        ],
    );
}

#[test]
fn what_does_not_parse() {
    for text in [
        "{{",
        "{{ .Name",
        "{{ }}",
        "{{ unknown .Name }}",
        "{{ if .Name }}x",
        "{{ end }}",
        "{{ else }}",
        "{{ if true }}a{{ else }}b{{ else }}c{{ end }}",
        "{{ (.Name }}",
        "{{ .Name) }}",
        r#"{{ "open }}"#,
        r#"{{ "\d" }}"#,
        "{{ 1.5 }}",
        "{{ .Name |  }}",
        "{{ define `x` }}{{ end }}",
        "{{ template `x` }}",
        "{{ `a``b` }}",
        "{{ /* open }}",
        "{{ ! }}",
    ] {
        assert!(matches!(render(text, &v3_data(), &V3), Err(TemplateError::Parse { .. })), "{text}");
    }
}

#[test]
fn what_rules_must_not_call_is_refused_with_the_reason() {
    for (text, reason) in [
        (r#"{{ env "HOME" }}"#, "`env` cannot be called: it would show what is in the gateway's environment"),
        ("{{ now | date `2006` }}", "`now` cannot be called: a rule must not depend on when it is made"),
        ("{{ uuidv4 }}", "the same service has to get the same rule each time"),
        ("{{ genPrivateKey `rsa` }}", "rules are no place for keys and secrets"),
        ("{{ getHostByName `a` }}", "rules ask no name server"),
        ("{{ unknown 1 }}", "there is no function `unknown`"),
    ] {
        let error = render(text, &v3_data(), &V3).map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|error| error.contains(reason)), "{text}: {error:?}");
    }
}

#[test]
fn what_cannot_be_filled_in() {
    for text in [
        "{{ .Nope }}",
        "{{ .Name.More }}",
        "{{ $x }}",
        "{{ $x = 1 }}",
        "{{ .Name .Name }}",
        "{{ lower }}",
        "{{ lt 1 `a` }}",
        "{{ index .Name 1 }}",
        "{{ index (list `a`) 7 }}",
        "{{ range .Name }}{{ end }}",
        r#"{{ printf "%x" 1 }}"#,
        r#"{{ printf "%s" }}"#,
        "{{ first .Name }}",
        r#"{{ fail "no" }}"#,
        "{{ div 1 0 }}",
        "{{ until 5000 }}",
        "{{ untilStep 0 5000 1 }}",
        "{{ b64dec `a` }}",
        "{{ b64dec `/w==` }}",
        "{{ indent 70000 `a` }}",
        "{{ repeat 70000 `a` }}",
        "{{ regexFind `[` .Name }}",
        "{{ append (list 1) (list 2) }}",
        "{{ substr 5 1 .Name }}",
    ] {
        assert!(matches!(render(text, &v3_data(), &V3), Err(TemplateError::Execute(_))), "{text}");
    }
}

#[test]
fn nothing_runs_away() {
    let nested = format!("{}x{}", "{{ if true }}".repeat(10_000), "{{ end }}".repeat(10_000));
    assert!(render(&nested, &v3_data(), &V3).is_err());
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(render(&parentheses, &v3_data(), &V3).is_err());
    let loops = "{{ range splitList `` $.Name }}".repeat(8) + &"{{ end }}".repeat(8);
    assert_eq!(render(&loops, &v3_data(), &V3), Err(TemplateError::Execute("more than 10000 steps".into())));
    let growth =
        "{{ $x := `aaaaaaaaaa` }}".to_owned() + &"{{ $x = regexReplaceAll `a` $x `$0$0$0$0$0$0$0$0$0$0` }}".repeat(9);
    assert!(render(&growth, &v3_data(), &V3).is_err());
    let growth = format!("{{{{ .Name {} }}}}", "| replace `e` `eeeeeeeeee` ".repeat(20));
    assert!(render(&growth, &v3_data(), &V3).is_err());
}

proptest! {
    #[test]
    fn parsing_and_rendering_never_panic(
        text in "(\\{\\{|\\}\\}|- | -|if |else |end|range |with |\\$x|:=|=|\\.Name|\\.|\\(|\\)|\\||\"a\"|`é`|1|,|lower |list |/\\*|\\*/| |é){0,14}"
    ) {
        let _ = render(&text, &v3_data(), &V3);
    }

    #[test]
    fn text_without_actions_stays_as_it_is(text in "[^{]{0,30}") {
        prop_assert_eq!(render(&text, &v1_data(), &V1), Ok(text));
    }
}
