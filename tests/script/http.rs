//! `argon.http.request`: real requests to a real server on the loopback interface.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::Bot;

/// A server that tells what it was asked.
async fn web() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new()
        .route("/echo", any(echo))
        .route(
            "/to",
            get(|request: Request| async move {
                let target = request.uri().query().unwrap_or_default().to_owned();
                Redirect::temporary(&target)
            }),
        )
        .route(
            "/gone",
            get(|| async { (StatusCode::NOT_FOUND, "nothing here") }),
        )
        .route("/silent", get(std::future::pending::<Response>))
        .route(
            "/broken",
            get(|| async {
                let parts = stream::iter([Ok("half"), Err(std::io::Error::other("cut"))]);
                Body::from_stream(parts).into_response()
            }),
        )
        .route(
            "/endless",
            get(|| async {
                let chunk = Bytes::from(vec![b'x'; 64 << 10]);
                Body::from_stream(stream::repeat(chunk).map(Ok::<_, Infallible>)).into_response()
            }),
        )
        .route(
            "/lies",
            get(|| async {
                ([(header::CONTENT_TYPE, "application/json")], "{not json").into_response()
            }),
        )
        .route(
            "/cookies",
            get(|| async {
                let cookies = [
                    (header::SET_COOKIE, "a=1; Expires=Tue, 24 Nov"),
                    (header::SET_COOKIE, "b=2"),
                ];
                axum::response::AppendHeaders(cookies).into_response()
            }),
        );
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    axum::Json(json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "body": String::from_utf8_lossy(&body),
        "type": header("content-type"),
        "agent": header("user-agent").map(|agent| agent.starts_with("argon-host/")),
        "custom": header("x-custom"),
    }))
    .into_response()
}

/// Runs a script that may call what `hosts` names. `BASE` and `PORT` in all of them are the server's.
async fn says(name: &str, hosts: &[&str], source: &str, lines: &[&str]) {
    let address = web().await;
    let filled = |text: &str| {
        text.replace("BASE", &format!("http://{address}"))
            .replace("PORT", &address.port().to_string())
    };
    let file = format!("{name}.luau");
    let source = filled(source);
    let hosts: Vec<_> = hosts.iter().copied().map(filled).collect();
    let lines: Vec<_> = lines.iter().copied().map(filled).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let bot = Bot::start_reaching(&[(&file, &source)], &hosts).await;
    bot.said(name, &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_carries_what_the_script_says_and_the_answer_comes_back() {
    says(
        "web",
        &["127.0.0.1:PORT"],
        r#"local answer = argon.http.request{
            url = "BASE/echo?a=1", method = "post", query = { q = "x y", list = { 1, 2 } },
            headers = { ["X-Custom"] = "yes" }, json = { hello = "wörld" },
        }
        print(answer.status, answer.ok, answer.headers["content-type"])
        local seen = answer.json
        print(seen.method, seen.path, seen.query)
        print(seen.body, seen.type, seen.agent, seen.custom)
        local plain = argon.http.request{ url = "BASE/echo", method = "PUT", body = buffer.fromstring("raw") }
        print(plain.json.method, plain.json.body, plain.json.type)
        local gone = argon.http.request{ url = "BASE/gone" }
        print(gone.status, gone.ok, gone.body, gone.json)
        print(argon.http.request{ url = "BASE/lies" }.json, argon.http.request{ url = "BASE/lies" }.body)
        print((argon.http.request{ url = "BASE/cookies" }.headers["set-cookie"]:gsub("\n", " | ")))
        print(argon.http.request{ url = "BASE/to?/echo" }.json.path)"#,
        &[
            "200\ttrue\tapplication/json",
            "POST\t/echo\ta=1&list=1&list=2&q=x+y",
            "{\"hello\":\"wörld\"}\tapplication/json\ttrue\tyes",
            "PUT\traw\tnil",
            "404\tfalse\tnothing here\tnil",
            "nil\t{not json",
            "a=1; Expires=Tue, 24 Nov | b=2",
            "/echo",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_list_does_not_name_is_refused_wherever_it_comes_from() {
    says(
        "caged",
        &["127.0.0.1:PORT"],
        r#"local function try(url)
            local ok, e = pcall(argon.http.request, { url = url })
            print(if ok then e.status else `{e.code}: {e.message}`)
        end
        try("https://example.org/secret?token=x")
        try("http://127.0.0.1:1/")
        try("http://localhost:PORT/echo")
        try("BASE/to?http://127.0.0.2:PORT/echo")
        try("BASE/to?https://example.org/")
        try("BASE/to?file:///etc/passwd")"#,
        &[
            "permission_denied: the script caged may not call example.org: write http = \
             [\"127.0.0.1:PORT\", \"example.org\"] under [script.caged] in bot.toml",
            "permission_denied: the script caged may not call 127.0.0.1:1: write http = \
             [\"127.0.0.1:PORT\", \"127.0.0.1:1\"] under [script.caged] in bot.toml",
            "permission_denied: the script caged may not call localhost:PORT: write http = \
             [\"127.0.0.1:PORT\", \"localhost:PORT\"] under [script.caged] in bot.toml",
            "permission_denied: it redirects, and the script caged may not call 127.0.0.2:PORT: write \
             http = [\"127.0.0.1:PORT\", \"127.0.0.2:PORT\"] under [script.caged] in bot.toml",
            "permission_denied: it redirects, and the script caged may not call example.org: write http = \
             [\"127.0.0.1:PORT\", \"example.org\"] under [script.caged] in bot.toml",
            // What is no web address is not followed.
            "307",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_size_are_bounded_and_failures_are_told_apart() {
    says(
        "bounded",
        &["127.0.0.1:*"],
        r#"local function try(request)
            local ok, e = pcall(argon.http.request, request)
            print(ok, e.code, e.status, e.route)
        end
        try{ url = "BASE/silent?key=secret", timeout = 0.05 }
        try{ url = "BASE/broken" }
        try{ url = "BASE/endless" }
        try{ url = "BASE/to?/to?/to?/to?/to?/to?/to?/echo" }
        try{ url = "http://127.0.0.1:1/" }
        print(tostring(select(2, pcall(argon.http.request, { url = "http://127.0.0.1:1/x?y" }))):match("^%S+ %S+ %S+"))
        print(select(2, pcall(function() argon.http.request{ url = "BASE/", methd = "GET" } end)))
        print(select(2, pcall(function() argon.http.request{ url = "BASE/", body = "x", json = 1 } end)))"#,
        &[
            "false\ttimeout\t0\tGET BASE/silent",
            "false\tlost_response\t0\tGET BASE/broken",
            "false\tresponse_too_large\t0\tGET BASE/endless",
            "false\ttoo_many_redirects\t0\tGET BASE/to",
            "false\tunreachable\t0\tGET http://127.0.0.1:1/",
            "GET http://127.0.0.1:1/x: unreachable:",
            "bounded.luau:11: argon.http.request: the request has no field methd; did you mean method?",
            "bounded.luau:12: argon.http.request: body and json are both given: use one of them",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_all_get_their_answer() {
    says(
        "many",
        &["127.0.0.1:PORT"],
        r#"local done = 0
        for i = 1, 100 do
            task.spawn(function()
                local answer = argon.http.request{ url = "BASE/echo", query = { i = i } }
                assert(answer.json.query == `i={i}`)
                done += 1
                if done == 100 then print("all") end
            end)
        end"#,
        &["all"],
    )
    .await;
}
