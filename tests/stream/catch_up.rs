//! Messages that the platform wrote into a socket that nobody read any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use argon_host::inbox;
use argon_host::stream::{Denied, Timings};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Bench, SPACE, THEM, id, quick};

const GENERAL: &str = "00000000-0000-0000-0000-0000000000aa";
const NEWS: &str = "00000000-0000-0000-0000-0000000000bb";
const LOUNGE: &str = "00000000-0000-0000-0000-0000000000cc";
/// In another space.
const PLAZA: &str = "00000000-0000-0000-0000-0000000000dd";
const OTHER_SPACE: &str = "1f8fad5bd9cb469fa16570867728950e";
/// A conversation with one person; the last channel that is looked through.
const ADA: &str = "00000000-0000-0000-0000-0000000000ff";

/// What REST has: messages, oldest first.
#[derive(Default)]
pub struct Rest {
    messages: Mutex<Vec<(&'static str, i64)>>,
    /// Questions that are refused before one is answered.
    refused: AtomicUsize,
    /// Channels that are not there any more.
    gone: Mutex<Vec<&'static str>>,
    histories: Mutex<Vec<(String, Value)>>,
    asked: AtomicUsize,
}

impl Rest {
    fn write(&self, channel: &'static str, ids: impl IntoIterator<Item = i64>) {
        let mut messages = self.messages.lock().unwrap();
        messages.extend(ids.into_iter().map(|id| (channel, id)));
    }

    pub fn ask(
        &self,
        interface: &str,
        route: &str,
        params: &Map<String, Value>,
    ) -> Result<Bytes, Denied> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let refused = self
            .refused
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if refused.is_ok() {
            return Err(Denied::Unclear("500".into()));
        }
        let channel = |id: &str, kind: &str| json!({ "channelId": id, "channelType": kind });
        let answer = match (interface, route) {
            ("IBotSelf", "GetSpaces") => json!({ "spaces": [
                { "spaceId": SPACE, "name": "x" }, { "spaceId": OTHER_SPACE, "name": "y" },
            ]}),
            ("IChannels", "List") if params["spaceId"] == OTHER_SPACE => {
                json!({ "channels": [channel(PLAZA, "Text")] })
            }
            ("IChannels", "List") => json!({ "channels": [
                channel(LOUNGE, "Voice"), channel(GENERAL, "Text"), channel(NEWS, "Announcement"),
            ]}),
            ("ISpaces", "GetMember") => json!({
                "userId": params["userId"], "username": "ada", "displayName": "Ada",
            }),
            ("IMessages", "History") => self.history(params)?,
            _ => return Err(Denied::No(format!("{interface}/{route}"))),
        };
        Ok(answer.to_string().into())
    }

    fn history(&self, params: &Map<String, Value>) -> Result<Value, Denied> {
        let channel = params["channelId"].as_str().unwrap();
        assert_ne!(channel, LOUNGE);
        let before = params["from"].as_i64().unwrap_or(i64::MAX);
        let asked = (channel.to_owned(), params["from"].clone());
        self.histories.lock().unwrap().push(asked);
        if self.gone.lock().unwrap().contains(&channel) {
            return Err(Denied::Unclear("500".into()));
        }
        let messages = self.messages.lock().unwrap();
        let page = (messages.iter().rev())
            .filter(|(of, id)| *of == channel && *id < before)
            .take(params["limit"].as_u64().unwrap() as usize)
            .map(|&(channel, id)| {
                json!({
                    "channelId": channel, "spaceId": SPACE, "creatorId": THEM, "messageId": id,
                    "createdAt": at(id), "text": id.to_string(), "replyTo": 3, "controls": null,
                    "reactions": [],
                    "entities": [{ "type": 10, "offset": 0, "length": 1, "version": 1,
                                   "unionKey": "MessageEntityBold", "unionIndex": 10 }],
                })
            });
        Ok(json!({ "messages": page.collect::<Vec<_>>() }))
    }
}

/// The time of that many milliseconds after a moment that no clock has come to.
fn at(milliseconds: i64) -> String {
    static START: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);
    let start = *START + Duration::from_secs(3600);
    (start + Duration::from_millis(milliseconds as u64)).to_string()
}

fn message(channel: &str, id: i64) -> String {
    let message = json!({ "messageId": id, "timeSent": at(id), "text": id.to_string() });
    json!({ "channelId": channel, "spaceId": SPACE, "message": message }).to_string()
}

impl Bench {
    /// Texts of the next messages, with a mark at those out of the history.
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let got = self.event().await;
            if got.kind != "messageCreate" {
                continue;
            }
            let payload: Value = serde_json::from_str(&got.payload).unwrap();
            let text = payload["message"]["text"].as_str().unwrap().to_owned();
            let mark = if got.id.starts_with("history_") {
                "+"
            } else {
                ""
            };
            texts.push(format!("{mark}{text}"));
        }
        texts
    }

    /// A connection that brings one message and is cut.
    async fn cut_after(&mut self, number: i64) {
        let mut first = self.open().await;
        first
            .event("messageCreate", &id(1), &message(GENERAL, number))
            .await;
        assert_eq!(self.texts(1).await, [number.to_string()]);
    }

    /// Waits until the history was looked through.
    async fn looked(&self, times: usize) {
        super::soon(async {
            while self.host.rest.histories.lock().unwrap().len() < times {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_cut_connection_lost_is_found_in_order_and_once() {
    let mut bench = Bench::start().await;
    bench.cut_after(10).await;
    bench.host.rest.write(GENERAL, [9, 10, 20, 40]);
    bench.host.rest.write(NEWS, [30]);
    bench.host.rest.refused.store(1, Ordering::SeqCst);

    let mut second = bench.open().await;
    assert_eq!(bench.texts(3).await, ["+20", "+30", "+40"]);
    // It comes after all: the history was quicker.
    second
        .event("messageCreate", &id(5), &message(GENERAL, 40))
        .await;
    second
        .event("messageCreate", &id(6), &message(GENERAL, 50))
        .await;
    assert_eq!(bench.texts(1).await, ["50"]);
    let stats = bench.handle.stats();
    assert_eq!((stats.recovered, stats.duplicates), (3, 1));
    drop(second);

    bench.host.rest.write(GENERAL, [50, 60]);
    let _third = bench.open().await;
    assert_eq!(bench.texts(1).await, ["+60"]);
}

#[tokio::test]
async fn an_event_out_of_the_history_is_what_the_stream_would_have_brought() {
    let mut bench = Bench::start().await;
    drop(bench.open().await);
    bench.host.rest.write(NEWS, [7]);
    let _second = bench.open().await;
    let got = bench.event().await;
    let channel = NEWS.replace('-', "");
    assert_eq!(
        (&*got.kind, got.id),
        ("messageCreate", format!("history_{channel}_7"))
    );
    let payload: Value = serde_json::from_str(&got.payload).unwrap();
    let sender = json!({
        "userId": THEM, "username": "ada", "displayName": "Ada", "flags": 0, "avatarUrl": null,
    });
    assert_eq!(payload["message"]["sender"], sender);
    assert_eq!(payload["message"]["replyId"], 3);
    assert_eq!(
        payload["message"]["entities"],
        json!([{ "type": 10, "offset": 0, "length": 1 }])
    );
    assert_eq!(
        (&payload["channelId"], &payload["spaceId"]),
        (&json!(NEWS), &json!(SPACE))
    );
}

#[tokio::test]
async fn a_server_that_has_sent_again_what_was_missed_is_not_asked() {
    let quiet = Duration::from_secs(1);
    let mut bench = Bench::with(Timings { quiet, ..quick() }).await;
    bench.cut_after(10).await;
    bench.host.rest.write(GENERAL, [10, 20]);

    let mut second = bench.server.accept().await;
    // In one piece: on a busy machine, too, `resumed` comes before anybody would ask.
    second
        .open_with(&[
            ("ready", "ready", "{}"),
            ("messageCreate", &id(2), &message(GENERAL, 20)),
            ("resumed", "", r#"{"replayedCount":1}"#),
        ])
        .await;
    assert_eq!(bench.texts(1).await, ["20"]);
    assert_eq!(bench.event().await.kind, "resumed");
    // Time is the subject: a search would have begun after half of it.
    tokio::time::sleep(2 * quiet).await;
    let asked = bench.host.rest.asked.load(Ordering::SeqCst);
    assert_eq!(asked, 0);
    drop(second);

    // This one does not say so.
    bench.host.rest.write(GENERAL, [30]);
    let _third = bench.open().await;
    assert_eq!(bench.texts(1).await, ["+30"]);
}

#[tokio::test]
async fn what_was_only_late_is_not_taken_for_lost() {
    let quiet = Duration::from_secs(2);
    let mut bench = Bench::with(Timings { quiet, ..quick() }).await;
    drop(bench.open().await);
    bench.host.rest.write(GENERAL, [10, 20]);
    let mut second = bench.open().await;
    bench.looked(1).await;
    second
        .event("messageCreate", &id(1), &message(GENERAL, 10))
        .await;
    assert_eq!(bench.texts(2).await, ["10", "+20"]);
}

#[tokio::test]
async fn another_space_that_is_ahead_does_not_make_anything_lost() {
    let quiet = Duration::from_secs(2);
    let mut bench = Bench::with(Timings { quiet, ..quick() }).await;
    drop(bench.open().await);
    bench.host.rest.write(PLAZA, [10, 20]);
    let mut second = bench.open().await;
    bench.looked(3).await;
    second
        .event("messageCreate", &id(1), &message(GENERAL, 500))
        .await;
    assert_eq!(bench.texts(1).await, ["500"]);
    let other = format!("{OTHER_SPACE}_1");
    second
        .event("messageCreate", &other, &message(PLAZA, 10))
        .await;
    assert_eq!(bench.texts(2).await, ["10", "+20"]);
}

#[tokio::test]
async fn however_much_the_history_was_quicker_with_comes_once() {
    let mut bench = Bench::start().await;
    let mut first = bench.open().await;
    for (n, channel) in [(1, GENERAL), (2, ADA)] {
        first
            .event("messageCreate", &id(n), &message(channel, 10))
            .await;
    }
    assert_eq!(bench.texts(2).await, ["10", "10"]);
    drop(first);

    bench.host.rest.write(GENERAL, 10..=600);
    bench.host.rest.write(ADA, [10, 700]);
    let mut second = bench.open().await;
    let mut all: Vec<_> = (11..=600).map(|id| format!("+{id}")).collect();
    all.push("+700".into());
    assert_eq!(bench.texts(591).await, all);
    for n in 11..=600 {
        second
            .event("messageCreate", &id(n), &message(GENERAL, n as i64))
            .await;
    }
    second
        .event("messageCreate", &id(601), &message(GENERAL, 601))
        .await;
    assert_eq!(bench.texts(1).await, ["601"]);
    assert_eq!(bench.handle.stats().duplicates, 590);
}

#[tokio::test]
async fn channels_that_are_gone_are_forgotten_and_hold_nothing_up() {
    const GONE: [&str; 2] = [
        "00000000-0000-0000-0000-0000000000ee",
        "00000000-0000-0000-0000-0000000000ef",
    ];
    let home = tempfile::tempdir().unwrap();
    let open = || {
        let opened = inbox::open(&inbox::path_in(home.path(), "bot")).unwrap();
        opened
            .start(super::US, false, inbox::Settings::default())
            .unwrap()
    };
    let (inbox, past) = open();
    let mut bench = Bench::after(quick(), inbox, past).await;
    let mut first = bench.open().await;
    for (n, channel) in [(1, GONE[0]), (2, GONE[1]), (3, ADA)] {
        first
            .event("messageCreate", &id(n), &message(channel, 10))
            .await;
    }
    assert_eq!(bench.texts(3).await, ["10", "10", "10"]);
    drop(first);

    bench.host.rest.gone.lock().unwrap().extend(GONE);
    bench.host.rest.write(ADA, [10, 20]);
    let second = bench.open().await;
    assert_eq!(bench.texts(1).await, ["+20"]);
    let asked_for_gone = |bench: &Bench| {
        let histories = bench.host.rest.histories.lock().unwrap();
        let of_gone = |(channel, _): &&(String, Value)| GONE.contains(&&**channel);
        histories.iter().filter(of_gone).count()
    };
    assert_eq!(asked_for_gone(&bench), 6, "a bare 500 is asked again");
    drop(second);
    bench.host.rest.write(ADA, [30]);
    let _third = bench.open().await;
    assert_eq!(bench.texts(1).await, ["+30"]);
    assert_eq!(asked_for_gone(&bench), 6);
    let Bench { handle, inbox, .. } = bench;
    handle.stop().await;
    inbox.close().await;
    drop(inbox);

    let (inbox, past) = open();
    let mut bench = Bench::after(quick(), inbox, past).await;
    bench.host.rest.gone.lock().unwrap().extend(GONE);
    bench.host.rest.write(ADA, [10, 20, 30, 40]);
    let _fourth = bench.open().await;
    assert_eq!(bench.texts(1).await, ["+40"]);
    assert_eq!(asked_for_gone(&bench), 0);
}

#[tokio::test]
async fn a_long_gap_is_read_page_by_page_and_nothing_before_it() {
    let mut bench = Bench::start().await;
    bench.cut_after(1000).await;
    bench.host.rest.write(GENERAL, 1..=1250);
    let _second = bench.open().await;
    let all: Vec<_> = (1001..=1250).map(|id| format!("+{id}")).collect();
    assert_eq!(bench.texts(250).await, all);
    let histories = bench.host.rest.histories.lock().unwrap().clone();
    let of_general: Vec<_> = (histories.iter())
        .filter(|(channel, _)| channel == GENERAL)
        .map(|(_, from)| from.clone())
        .collect();
    assert_eq!(of_general, [Value::Null, 1151.into(), 1051.into()]);
}

#[tokio::test]
async fn a_search_that_a_kill_cut_short_is_made_up_for_by_the_next_process() {
    let home = tempfile::tempdir().unwrap();
    let open = || {
        let opened = inbox::open(&inbox::path_in(home.path(), "bot")).unwrap();
        opened
            .start(super::US, false, inbox::Settings::default())
            .unwrap()
    };
    let (inbox, past) = open();
    let mut bench = Bench::after(quick(), inbox, past).await;
    bench.cut_after(10).await;
    bench.host.rest.write(GENERAL, [10, 20, 30]);
    bench.host.rest.write(NEWS, [35]);
    // So that the search of this process comes to nothing.
    bench.host.rest.refused.store(usize::MAX, Ordering::SeqCst);
    let mut second = bench.open().await;
    second
        .event("messageCreate", &id(9), &message(GENERAL, 40))
        .await;
    // The first one of its channel, long after the one that is missing there.
    second
        .event("messageCreate", &id(10), &message(NEWS, 500_000))
        .await;
    assert_eq!(bench.texts(2).await, ["40", "500000"]);
    let Bench { handle, inbox, .. } = bench;
    handle.stop().await;
    inbox.close().await;
    drop(inbox);

    let (inbox, past) = open();
    let mut bench = Bench::after(quick(), inbox, past).await;
    bench.host.rest.write(GENERAL, [10, 20, 30, 40]);
    bench.host.rest.write(NEWS, [35, 500_000]);
    let _third = bench.open().await;
    assert_eq!(bench.texts(3).await, ["+20", "+30", "+35"]);
}
