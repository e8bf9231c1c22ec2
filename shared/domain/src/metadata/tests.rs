use proptest::prelude::*;

use super::*;

const HEADER: &str = r#"{"id": {"b": "hta chow chow", "a": "olis corgi"}}"#;

fn line(id: &str, file: &str) -> String {
    serde_json::json!({"id": id, "file_name": file, "mask_path": "m.png", "text": "A photo."}).to_string()
}

fn fault(text: &str) -> String {
    Metadata::parse(text).unwrap_err().to_string()
}

#[test]
fn a_data_set_reads_in_order() {
    let text = format!(
        "\u{feff}{HEADER}\r\n\r\n{}\r\n{}\r\n{}",
        line("a", "a0.jpg"),
        line("b", "sub/b0.jpg"),
        r#"{"id": "a", "file_name": "a1.jpg"}"#
    );
    let metadata = Metadata::parse(&text).unwrap();
    assert_eq!(metadata.subjects.keys().map(SubjectId::as_str).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(metadata.subjects[&SubjectId::new("a").unwrap()].class(), "corgi");
    let files: Vec<&str> = metadata.photos.iter().map(|photo| photo.file_name.as_str()).collect();
    assert_eq!(files, ["a0.jpg", "sub/b0.jpg", "a1.jpg"]);
    assert_eq!(metadata.photos[2].mask_path, None);
    assert_eq!(metadata.photos[2].text, "A photo of olis corgi.");
    assert_eq!(metadata.photos_of(&SubjectId::new("a").unwrap()).count(), 2);
    assert_eq!(Metadata::parse(&metadata.to_jsonl()).unwrap(), metadata);
}

#[test]
fn each_fault_names_its_line_and_its_cure() {
    let with = |rest: &str| fault(&format!("{HEADER}\n{}\n{rest}", line("b", "b.jpg")));
    assert!(fault("").contains("is empty; its first line names the subjects"));
    assert!(fault(" \n\n").contains("is empty"));
    assert!(fault(&line("a", "a.jpg")).contains("line 1: the first line must name the subjects"));
    assert!(fault("{\"id\": {}}").contains("line 1: no subject is named"));
    assert!(with("{\"id\": \"a\",").contains("line 3: EOF while parsing"));
    assert!(with(&line("c", "c.jpg")).contains("line 3: there is no subject \"c\"; write one of `b`, `a`"));
    let misspelt = with(r#"{"id": "a", "file_name": "a.jpg", "mask": "m.png"}"#);
    assert!(misspelt.contains("line 3: unknown field `mask`"), "{misspelt}");
    let book = serde_json::json!({"id": "a", "file_name": "a.jpg", "text": "ä".repeat(MAX_CAPTION + 1)});
    assert!(with(&book.to_string()).contains("line 3: `text` has 5001 characters; shorten it to 5000"));
    assert!(fault(&format!("{HEADER}\n{}", line("b", "b.jpg"))).contains("`a` has no photo"));
    assert!(fault(r#"{"id": {"a": "x y", "a": "u v"}}"#).contains("the id `a` is given twice"));
    assert!(fault(r#"{"id": {"a": "x  y", "b": "X y"}}"#).contains("`a` and `b` are both named \"X y\""));
    assert!(fault(r#"{"id": {"a": "corgi"}}"#).contains("write an identifier and then a class"));
    assert!(fault(r#"{"id": {"a/b": "x y"}}"#).contains("line 1: subject id \"a/b\" is refused"));
}

#[test]
fn no_path_leaves_the_folder() {
    let bad = [
        "",
        " ",
        "../a.jpg",
        "a/../../b",
        "/etc/passwd",
        "C:\\a.jpg",
        "..\\a",
        "a//b",
        "./a",
        "a\u{0}b",
        "a/",
    ];
    for path in bad {
        let message = fault(&format!("{HEADER}\n{}\n{}", line("b", "b.jpg"), line("a", path)));
        assert!(message.contains("line 3: `file_name` is"), "{path:?}: {message}");
    }
    let mask = r#"{"id": "a", "file_name": "a.jpg", "mask_path": "../m.png"}"#;
    assert!(fault(&format!("{HEADER}\n{mask}")).contains("`mask_path` is \"../m.png\", which leads out"));
    for path in ["a.jpg", "a/b/c.png", "..a.jpg", "a..b", "ä ö.webp"] {
        assert_eq!(path_fault(path), None, "{path:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        drop(Metadata::parse(&text));
    }

    #[test]
    fn no_damage_to_a_good_file_panics(position in 0usize..200, insert in ".{0,4}", cut in 0usize..20) {
        let good = format!("{HEADER}\n{}\n{}\n", line("a", "a.jpg"), line("b", "b.jpg"));
        let chars: Vec<char> = good.chars().collect();
        let at = position.min(chars.len());
        let end = (at + cut).min(chars.len());
        let text: String = chars[..at].iter().copied().chain(insert.chars()).chain(chars[end..].iter().copied()).collect();
        if let Ok(metadata) = Metadata::parse(&text) {
            prop_assert_eq!(Metadata::parse(&metadata.to_jsonl()).unwrap(), metadata);
        }
    }
}
