//! The exported classes in a real browser, as far as they need no server: options, listeners, errors, and calls that
//! can't succeed.

#![cfg(target_arch = "wasm32")]

use std::rc::Rc;

use js_sys::{Array, Function, JSON, Object, Promise, Reflect};
use peerloom::Client;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

fn options(json: &str) -> JsValue {
    JSON::parse(json).expect("valid JSON")
}

fn client(json: &str) -> Client {
    Client::new(&options(json), None).expect("valid options")
}

fn get(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &key.into()).unwrap_or_default()
}

fn code(error: &JsValue) -> String {
    assert!(error.is_instance_of::<js_sys::Error>(), "{error:?}");
    get(error, "code").as_string().expect("a code")
}

async fn rejection(promise: Promise) -> String {
    code(&JsFuture::from(promise).await.expect_err("rejects"))
}

/// A listener that notes its argument, and the notes.
fn notes() -> (JsValue, Array) {
    let notes = Array::new();
    let listener = Function::new_with_args("notes", "return (argument) => { notes.push(argument); }");
    (
        listener.call1(&JsValue::UNDEFINED, &notes).expect("a function"),
        notes,
    )
}

/// Nobody listens on the discard port, and no browser lets a page try it: the socket fails at once.
const NOWHERE: &str = r#"{ "server": "ws://127.0.0.1:9" }"#;

#[wasm_bindgen_test]
fn options_that_cannot_be_are_refused_with_a_code() {
    for (json, expected) in [
        (r#"{ "id": "" }"#, "invalid_name"),
        (r#"{ "id": "a\u0007b" }"#, "invalid_name"),
        (r#"{ "id": 7 }"#, "invalid_option"),
        (r#"{ "privacy": "none" }"#, "invalid_option"),
        (r#"{ "timeout": 0 }"#, "invalid_option"),
        (r#"{ "timeout": "soon" }"#, "invalid_option"),
        (r#"{ "iceServers": {} }"#, "invalid_option"),
        (r#"{ "token": 1 }"#, "invalid_option"),
        (r#""a string""#, "invalid_option"),
    ] {
        let error = Client::new(&options(json), None)
            .err()
            .unwrap_or_else(|| panic!("{json} was taken"));
        assert_eq!(code(&error), expected, "{json}");
    }
    let long = format!(r#"{{ "userData": "{}" }}"#, "x".repeat(4096));
    assert_eq!(
        code(&Client::new(&options(&long), None).err().expect("too large")),
        "too_large"
    );
    let function = Object::new();
    Reflect::set(&function, &"userData".into(), &Function::new_no_args("")).expect("an object");
    assert_eq!(
        code(&Client::new(&function, None).err().expect("no data")),
        "invalid_data"
    );
}

#[wasm_bindgen_test]
fn options_have_defaults() {
    let client = Client::new(&JsValue::UNDEFINED, None).expect("no options are needed");
    assert_eq!((client.id(), client.state()), (String::new(), "idle".to_owned()));
    assert_eq!(self::client(r#"{ "id": "__proto__" }"#).id(), "__proto__");
}

#[wasm_bindgen_test]
fn a_peer_is_the_same_object_every_time() {
    let client = client(NOWHERE);
    let (one, two) = (
        client.peer("bob").expect("a name"),
        client.peer("bob").expect("a name"),
    );
    assert_eq!(one, two);
    assert_ne!(one, client.peer("carol").expect("a name"));
    assert_eq!(get(&one, "id"), "bob");
    assert_eq!(get(&one, "state"), "offline");
    assert_eq!(code(&client.peer("").expect_err("no name")), "invalid_name");
}

#[wasm_bindgen_test]
fn listeners_need_a_known_event_and_a_function() {
    let client = client(NOWHERE);
    let (listener, _) = notes();
    assert_eq!(
        code(&client.on("mesage", &listener, false).expect_err("a slip")),
        "invalid_option"
    );
    assert_eq!(
        code(
            &client
                .on("message", &"text".into(), false)
                .expect_err("no function")
        ),
        "invalid_option"
    );
}

#[wasm_bindgen_test]
async fn a_server_that_is_not_there_is_reported_and_ends_the_client() {
    let client = client(NOWHERE);
    let (listener, states) = notes();
    client.on("state", &listener, false).expect("a listener");
    assert_eq!(rejection(client.open()).await, "server_unreachable");
    assert_eq!(states.join(" "), "connecting closed");
    assert_eq!(rejection(client.open()).await, "closed");
}

#[wasm_bindgen_test]
async fn a_listener_can_be_once_removed_or_broken() {
    let client = client(NOWHERE);
    let (always, all) = notes();
    let (once, first) = notes();
    let (removed, none) = notes();
    let broken = Function::new_no_args("throw new Error('the page is broken')");
    // The report of what a listener throws is the test's own doing.
    let quiet =
        Function::new_no_args("globalThis.reportError = (error) => { globalThis.reported = error.message; }");
    quiet.call0(&JsValue::UNDEFINED).expect("set");
    client.on("state", &broken, false).expect("a listener");
    client.on("state", &once, true).expect("a listener");
    client.on("state", &removed, false).expect("a listener");
    client.on("state", &always, false).expect("a listener");
    client.off("state", &removed).expect("removed");
    assert_eq!(rejection(client.open()).await, "server_unreachable");
    assert_eq!(all.join(" "), "connecting closed");
    assert_eq!(first.join(" "), "connecting");
    assert_eq!(none.length(), 0);
    assert_eq!(get(&js_sys::global(), "reported"), "the page is broken");
}

#[wasm_bindgen_test]
async fn a_listener_can_remove_another_of_the_same_event() {
    let client = client(NOWHERE);
    let (second, none) = notes();
    let remove = Function::new_with_args("client, second", "return () => client.off('state', second)");
    let wrapper = JsValue::from(client);
    let remove = remove
        .call2(&JsValue::UNDEFINED, &wrapper, &second)
        .expect("a function");
    let on: Function = get(&wrapper, "on").unchecked_into();
    on.call3(&wrapper, &"state".into(), &remove, &false.into())
        .expect("a listener");
    on.call3(&wrapper, &"state".into(), &second, &false.into())
        .expect("a listener");
    let open: Function = get(&wrapper, "open").unchecked_into();
    let opened: Promise = open.call0(&wrapper).expect("a promise").unchecked_into();
    assert_eq!(rejection(opened).await, "server_unreachable");
    assert_eq!(none.length(), 0);
}

#[wasm_bindgen_test]
async fn what_cannot_be_sent_is_refused_at_send() {
    let client = client(NOWHERE);
    let to = JsValue::from("bob");
    let cycle = Object::new();
    Reflect::set(&cycle, &"self".into(), &cycle).expect("an object");
    let nested = options(r#"{ "list": [1, {}] }"#);
    Reflect::set(
        &get(&get(&nested, "list"), "1"),
        &"f".into(),
        &Function::new_no_args(""),
    )
    .expect("an object");
    for data in [
        cycle.into(),
        nested.clone(),
        Function::new_no_args("").into(),
        Promise::resolve(&JsValue::NULL).into(),
    ] {
        assert_eq!(rejection(client.send(&to, "name", &data)).await, "invalid_data");
    }
    let error = JsFuture::from(client.send(&to, "name", &nested))
        .await
        .expect_err("rejects");
    assert!(
        get(&error, "detail")
            .as_string()
            .is_some_and(|detail| detail.contains(".list[1].f")),
        "says where"
    );
    let large = "x".repeat(16 * 1024 * 1024 + 1);
    assert_eq!(
        rejection(client.send(&to, "name", &large.into())).await,
        "too_large"
    );
    assert_eq!(
        rejection(client.send(&JsValue::from(7), "name", &JsValue::NULL)).await,
        "invalid_option"
    );
    assert_eq!(
        rejection(client.send(&to, "", &JsValue::NULL)).await,
        "invalid_name"
    );
}

#[wasm_bindgen_test]
async fn everything_that_waits_ends_with_the_client() {
    let client = client(NOWHERE);
    let sent = client.send(&"bob".into(), "name", &"hello".into());
    let asked = client.request("bob", "name", &JsValue::NULL, JsValue::UNDEFINED);
    let joined = client.thread(Some("lobby".into()), JsValue::UNDEFINED);
    let blob = Function::new_no_args("return new Blob(['read in a while'])").call0(&JsValue::UNDEFINED);
    let read = client.send(&"bob".into(), "name", &blob.expect("a Blob"));
    let behind = client.send(&"bob".into(), "name", &"behind".into());
    client.close().expect("closes");
    for promise in [sent, asked, joined, read, behind] {
        assert_eq!(rejection(promise).await, "closed");
    }
    assert_eq!(client.state(), "closed");
    client.close().expect("closes again");
    assert_eq!(
        rejection(client.send(&"bob".into(), "name", &JsValue::NULL)).await,
        "closed"
    );
}

#[wasm_bindgen_test]
async fn a_value_of_too_many_buffers_is_refused() {
    let client = client(NOWHERE);
    let many = "return Array.from({ length: 65537 }, () => new Uint8Array(1))";
    let many = Function::new_no_args(many).call0(&JsValue::UNDEFINED);
    let sent = client.send(&"bob".into(), "name", &many.expect("an array"));
    assert_eq!(rejection(sent).await, "too_large");
}

#[wasm_bindgen_test]
async fn a_panic_ends_its_client_and_no_other() {
    let (client, other) = (Rc::new(client(NOWHERE)), client(NOWHERE));
    let (state, states) = notes();
    client.on("state", &state, false).expect("a listener");
    let waiting = client.request("bob", "sum", &JsValue::NULL, JsValue::UNDEFINED);

    let inside = Rc::clone(&client);
    let inside = Closure::<dyn FnMut()>::new(move || inside.panic_inside());
    let call: &Function = inside.as_ref().unchecked_ref();
    // The tests' own hook took the place of the package's. After a panic there is no way to set another.
    let tests_hook = std::panic::take_hook();
    peerloom::start();
    let own_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        own_hook(info);
        tests_hook(info);
    }));
    let thrown = call.call0(&JsValue::UNDEFINED);
    assert!(thrown.is_err(), "the call that it happened in");

    let next = client.send(&"bob".into(), "name", &JsValue::NULL);
    for promise in [next, waiting] {
        assert_eq!(rejection(promise).await, "crashed");
    }
    assert_eq!(client.state(), "closed");
    assert_eq!(states.join(" "), "closed");
    assert_eq!(other.state(), "idle");
    let asked = other.request("bob", "sum", &JsValue::NULL, options(r#"{ "timeout": 20 }"#));
    assert_eq!(rejection(asked).await, "timeout");
}

#[wasm_bindgen_test]
async fn a_request_can_time_out_and_be_aborted() {
    let client = client(NOWHERE);
    let late = client.request("bob", "sum", &JsValue::NULL, options(r#"{ "timeout": 20 }"#));
    let aborted = Function::new_no_args("return { signal: AbortSignal.abort() }").call0(&JsValue::UNDEFINED);
    let aborted = client.request("bob", "sum", &JsValue::NULL, aborted.expect("options"));
    assert_eq!(rejection(aborted).await, "aborted");
    assert_eq!(rejection(late).await, "timeout");
}

#[wasm_bindgen_test]
async fn threads_need_a_name_and_get_an_unguessable_one() {
    let client = client(NOWHERE);
    assert_eq!(
        rejection(client.thread(Some(String::new()), JsValue::UNDEFINED)).await,
        "invalid_name"
    );
    let bad = options(r#"{ "media": { "audio": "yes" } }"#);
    assert_eq!(
        rejection(client.thread(Some("lobby".into()), bad)).await,
        "invalid_option"
    );
}
