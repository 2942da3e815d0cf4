//! Expected prompts are what Jinja as set up by Hugging Face's `apply_chat_template` gives for the same template.
use serde_json::json;

use super::*;

fn template(source: &str) -> ChatTemplate {
    let globals = json!({"bos_token": "<s>"}).as_object().cloned().unwrap();
    ChatTemplate::new(vec![("default".to_owned(), source.to_owned())], globals).unwrap()
}

fn render_body(source: &str, body: &Json) -> Result<String, TextError> {
    let input = ChatInput::parse(body.to_string().as_bytes())?;
    let add = !input.continue_final_message;
    template(source).render(input, add)
}

/// Renders with `x` as a variable.
fn show(source: &str, x: &Json) -> String {
    let body =
        json!({"messages": [{"role": "user", "content": "hi"}], "chat_template_args": {"x": x}});
    render_body(source, &body).unwrap()
}

fn user(content: &Json) -> Json {
    json!({"messages": [{"role": "user", "content": content}]})
}

#[test]
fn tojson_is_pythons_json_dumps() {
    let x = json!({"z": [1, 2.0, 1e-7, 1e20, true, null], "a": "<é> & 'q' \"\n\u{1}😀", "e": {}, "l": []});
    assert_eq!(
        show("{{ x | tojson }}", &x),
        r#"{"z": [1, 2.0, 1e-07, 1e+20, true, null], "a": "<é> & 'q' \"\n\u0001😀", "e": {}, "l": []}"#
    );
    assert_eq!(
        show(
            "{{ x | tojson(indent=2) }}",
            &json!({"b": [1, {}], "a": []})
        ),
        "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": []\n}"
    );
    assert_eq!(
        show(
            "{{ x | tojson(sort_keys=true, separators=(',', ':'), ensure_ascii=true) }}",
            &json!({"b": 1, "a": "é😀"})
        ),
        r#"{"a":"\u00e9\ud83d\ude00","b":1}"#
    );
}

#[test]
fn values_are_printed_as_python_prints_them() {
    let x = json!([true, null, 1.0, "it's", {"a": "\n"}]);
    assert_eq!(
        show("{{ x }}", &x),
        r#"[True, None, 1.0, "it's", {'a': '\n'}]"#
    );
    assert_eq!(
        show("{{ true }} {{ none }} {{ 3 }} [{{ missing }}]", &json!(0)),
        "True None 3 []"
    );
    assert_eq!(show("{{ (x | string) + '!' }}", &json!(false)), "False!");
}

#[test]
fn blocks_are_trimmed_and_generation_tags_do_nothing() {
    let source = "{% for m in messages %}\n  {% generation %}\n{{ m.role }}\n  {%- endgeneration %}\n{% endfor %}\nend\n";
    assert_eq!(show(source, &json!(0)), "userend");
}

#[test]
fn loops_can_break_and_continue() {
    let source = "{% for i in x %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}";
    assert_eq!(show(source, &json!([1, 2, 3, 4, 5])), "13");
}

#[test]
fn a_dictionary_keeps_its_methods_when_it_has_entries_of_their_names() {
    let x = json!({"type": "array", "items": {"get": 1}, "keys": 2});
    let source = "{% for k, v in x.items() %}{{ k }};{% endfor %}{{ x['items'].get('no', 'default') }}{{ x.keys() | list | length }}";
    assert_eq!(show(source, &x), "type;items;keys;default3");
}

#[test]
fn python_string_methods_and_slices_work() {
    let source = "{{ x.split('</t>')[-1].lstrip('\\n') }}|{{ x.removeprefix('<t>') }}|{{ x[::-1][:2] }}|{{ x.rsplit('a', 1)[0] }}|{{ x.startswith('<t>') }}";
    assert_eq!(
        show(source, &json!("<t>a</t>\nab")),
        "ab|a</t>\nab|ba|<t>a</t>\n|True"
    );
}

#[test]
fn tests_follow_python() {
    let source = "{{ x is iterable }} {{ none is iterable }} {{ 1 is iterable }} {{ x is sequence }} {{ x is mapping }}";
    assert_eq!(show(source, &json!("text")), "True False False True False");
}

#[test]
fn namespaces_keep_values_across_loops() {
    let source = "{% set ns = namespace(n=0) %}{% for i in x %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}";
    assert_eq!(show(source, &json!([1, 2, 3])), "6");
}

#[test]
fn the_date_is_todays() {
    let year = jiff::Zoned::now().year().to_string();
    assert_eq!(show("{{ strftime_now('%Y') }}", &json!(0)), year);
}

#[test]
fn what_a_template_raises_is_the_callers_fault() {
    let error = render_body(
        "{{ raise_exception('only ' + 'users') }}",
        &user(&json!("x")),
    )
    .unwrap_err();
    assert_eq!(error.code(), "request.invalid");
    assert!(
        error.message().ends_with(": only users"),
        "{}",
        error.message()
    );
}

#[test]
fn a_template_with_a_syntax_error_is_the_models_fault() {
    let sources = vec![("default".to_owned(), "{% if %}".to_owned())];
    let error = ChatTemplate::new(sources, Map::new()).err().unwrap();
    assert_eq!(error.code(), "model.invalid");
}

#[test]
fn the_tool_template_is_taken_when_there_are_tools() {
    let sources = [
        ("default", "plain"),
        ("tool_use", "tools: {{ tools | length }}"),
    ];
    let sources = sources
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .to_vec();
    let template = ChatTemplate::new(sources, Map::new()).unwrap();
    let render =
        |body: &Json| template.render(ChatInput::parse(body.to_string().as_bytes()).unwrap(), true);
    let mut body = user(&json!("x"));
    assert_eq!(render(&body).unwrap(), "plain");
    body["tools"] = json!([{"type": "function"}]);
    assert_eq!(render(&body).unwrap(), "tools: 1");
}

const TEXT_ONLY: &str = "{% for m in messages %}{{ m.content + ';' }}{% endfor %}";
const PARTS: &str = "{% for m in messages %}{% for part in m.content %}({{ part.type }} {{ part.text }}){% endfor %}{% endfor %}";
const BOTH: &str = "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}({{ part.text or part.type }}){% endfor %}{% endif %}{% endfor %}";

#[test]
fn content_gets_the_form_that_the_template_takes() {
    let parts = user(&json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]));
    let text = user(&json!("a"));
    assert_eq!(render_body(TEXT_ONLY, &parts).unwrap(), "a\nb;");
    assert_eq!(render_body(PARTS, &text).unwrap(), "(text a)");
    assert_eq!(render_body(BOTH, &text).unwrap(), "a");
    assert_eq!(render_body(BOTH, &parts).unwrap(), "(a)(b)");
}

#[test]
fn parts_that_the_template_does_not_take_are_refused_by_name() {
    let body = user(&json!([{"type": "image_url", "image_url": {"url": "data:"}}]));
    let error = render_body(TEXT_ONLY, &body).unwrap_err();
    assert_eq!(error.code(), "request.invalid");
    assert!(
        error.message().contains("'image_url'"),
        "{}",
        error.message()
    );
    assert_eq!(render_body(BOTH, &body).unwrap(), "(image_url)");
    assert_eq!(
        render_body(TEXT_ONLY, &user(&json!(5))).unwrap_err().code(),
        "request.invalid"
    );
}

#[test]
fn tool_call_arguments_get_the_form_that_the_template_takes() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": [1]}"}});
    let body = json!({"messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
    ]});
    let each = |shown: &str| {
        format!(
            "{{% for m in messages %}}{{% for c in m.tool_calls or [] %}}{shown}{{% endfor %}}{{% endfor %}}"
        )
    };
    let as_object = each("{{ c.function.arguments | tojson }}");
    assert_eq!(render_body(&as_object, &body).unwrap(), r#"{"a": [1]}"#);
    let as_text = each("{{ 'json:' + c.function.arguments }}");
    assert_eq!(render_body(&as_text, &body).unwrap(), r#"json:{"a": [1]}"#);
}

#[test]
fn a_continued_message_stays_open() {
    let body = |text: &str| json!({"messages": [{"role": "assistant", "content": text}], "continue_final_message": true});
    let plain = "{% for m in messages %}{{ m.content + '</end>' }}{% endfor %}{% if add_generation_prompt %}next{% endif %}";
    assert_eq!(
        render_body(plain, &body("The answer is ")).unwrap(),
        "The answer is "
    );
    let trimming = "{% for m in messages %}{{ m.content | trim }}</end>{% endfor %}";
    assert_eq!(
        render_body(trimming, &body("The answer is ")).unwrap(),
        "The answer is"
    );
    assert_eq!(
        render_body("nothing", &body("x")).unwrap_err().code(),
        "request.invalid"
    );
}
