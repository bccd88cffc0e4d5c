//! Positions, buffers and intents, step by step.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::buffer::EVENT_KEPT;
use super::{Feed, POSITION_KEPT, Quirks, SPACE_BUFFER};
use crate::config::Dialect;

const BOT: Uuid = Uuid::from_u128(1);
const SPACE: Uuid = Uuid::from_u128(0xa);
const OTHER: Uuid = Uuid::from_u128(0xb);
const ALL: u64 = 16383;

fn feed() -> (Feed, Instant) {
    let mut feed = Feed::default();
    feed.install(BOT, SPACE);
    feed.install(BOT, OTHER);
    (feed, Instant::now())
}

fn ids(feed: &mut Feed, intents: u64, most: usize, now: Instant) -> Vec<String> {
    let mut out = Vec::new();
    feed.take(BOT, intents, most, now, &mut out);
    String::from_utf8(out)
        .expect("text")
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .map(|id| id.trim_start_matches('0').to_owned())
        .collect()
}

#[test]
fn spaces_take_turns_and_direct_events_come_last() {
    let (mut feed, now) = feed();
    feed.open(BOT, ALL, None, now);
    feed.push_direct(BOT, "callIncoming", "{}", now);
    for _ in 0..3 {
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    }
    feed.push(OTHER, "messageCreate", "{}", Vec::new(), now);
    assert_eq!(
        ids(&mut feed, ALL, 50, now),
        ["a_1", "b_1", "a_2", "a_3", "direct_1"]
    );
    assert!(ids(&mut feed, ALL, 50, now).is_empty());
}

#[test]
fn the_intents_filter_and_unknown_events_pass() {
    let (mut feed, now) = feed();
    feed.open(BOT, ALL, None, now);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    feed.push(SPACE, "typingStart", "{}", Vec::new(), now);
    feed.push(SPACE, "brandNew", "{}", Vec::new(), now);
    assert_eq!(ids(&mut feed, 16, 50, now), ["a_2", "a_3"]);
}

#[test]
fn a_bot_that_comes_back_in_time_goes_on_where_it_was() {
    let (mut feed, now) = feed();
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    feed.open(BOT, ALL, None, now);
    assert!(
        ids(&mut feed, ALL, 50, now).is_empty(),
        "nothing from before"
    );
    feed.close(BOT, now);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    feed.open(BOT, ALL, None, now + Duration::from_secs(60));
    assert_eq!(ids(&mut feed, ALL, 50, now), ["a_2"]);

    feed.close(BOT, now);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    let late = now + EVENT_KEPT + Duration::from_secs(1);
    feed.open(BOT, ALL, None, late);
    assert!(
        ids(&mut feed, ALL, 50, late).is_empty(),
        "kept for 5 minutes"
    );

    feed.close(BOT, late);
    let later = late + POSITION_KEPT + Duration::from_secs(1);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), later);
    feed.open(BOT, ALL, None, later);
    assert!(
        ids(&mut feed, ALL, 50, later).is_empty(),
        "position forgotten"
    );
}

#[test]
fn an_event_that_a_bot_must_not_see_is_skipped() {
    let (mut feed, now) = feed();
    feed.open(BOT, ALL, None, now);
    feed.push(SPACE, "messageCreate", "{}", vec![BOT], now);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    assert_eq!(ids(&mut feed, ALL, 50, now), ["a_2"]);
}

#[test]
fn what_is_new_goes_on_after_all_that_there_was() {
    let mut feed = Feed::new(Quirks::default(), 100);
    let now = Instant::now();
    feed.install(BOT, SPACE);
    feed.open(BOT, ALL, None, now);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    for _ in 0..3 {
        feed.push_direct(BOT, "callEnded", "{}", now);
    }
    let order = ["a_101", "direct_101", "direct_102", "direct_103"];
    assert_eq!(ids(&mut feed, ALL, 50, now), order);
    let mut feed = feed.emptied();
    for space in [SPACE, OTHER] {
        feed.install(BOT, space);
    }
    feed.open(BOT, ALL, None, now);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    feed.push(OTHER, "messageCreate", "{}", Vec::new(), now);
    feed.push_direct(BOT, "callEnded", "{}", now);
    assert_eq!(
        ids(&mut feed, ALL, 50, now),
        ["a_104", "b_104", "direct_104"]
    );
}

fn documented() -> (Feed, Instant) {
    let mut feed = Feed::new(Quirks::of(Dialect::Documented), 0);
    feed.install(BOT, SPACE);
    feed.install(BOT, OTHER);
    (feed, Instant::now())
}

#[test]
fn a_bot_that_names_the_last_event_gets_all_that_came_after_it() {
    let (mut feed, now) = documented();
    feed.open(BOT, ALL, None, now);
    for space in [SPACE, OTHER, SPACE] {
        feed.push(space, "messageCreate", "{}", Vec::new(), now);
    }
    feed.push_direct(BOT, "callEnded", "{}", now);
    let order = ["a_1", "b_1", "a_2", "direct_1"];
    assert_eq!(ids(&mut feed, ALL, 50, now), order);
    feed.close(BOT, now);
    feed.push(OTHER, "messageCreate", "{}", Vec::new(), now);
    let id = format!("{}_1", SPACE.simple());
    let opened = feed.open(BOT, ALL, Some(&id), now).expect("a bot");
    assert_eq!(opened.replay, Some(4));
    let mut again = ids(&mut feed, ALL, 50, now);
    again.sort_unstable();
    assert_eq!(again, ["a_2", "b_1", "b_2", "direct_1"]);
    feed.close(BOT, now);

    feed.push(OTHER, "messageCreate", "{}", Vec::new(), now);
    let opened = feed.open(BOT, ALL, None, now).expect("a bot");
    assert_eq!(opened.replay, None);
    assert!(ids(&mut feed, ALL, 50, now).is_empty(), "only what is new");
}

#[test]
fn a_cursor_and_an_event_that_is_not_remembered_move_their_spaces() {
    let (mut feed, now) = documented();
    feed.open(BOT, ALL, None, now);
    for _ in 0..3 {
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    }
    ids(&mut feed, ALL, 50, now);
    let cursor = format!("{}:1,{}:0", SPACE.simple(), OTHER.simple());
    feed.close(BOT, now);
    let opened = feed.open(BOT, ALL, Some(&cursor), now).expect("a bot");
    assert_eq!(opened.replay, Some(2));
    ids(&mut feed, ALL, 50, now);
    for (id, replayed) in [("ready", 0), ("", 0), ("x_y", 0), ("direct_9", 0)] {
        feed.close(BOT, now);
        let opened = feed.open(BOT, ALL, Some(id), now).expect("a bot");
        assert_eq!(opened.replay, Some(replayed), "{id}");
    }
}

#[test]
fn no_stream_is_deaf_when_the_documentation_is_right() {
    let (mut feed, now) = documented();
    feed.open(BOT, ALL, None, now);
    feed.open(BOT, ALL, None, now);
    feed.close(BOT, now);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    assert_eq!(ids(&mut feed, ALL, 50, now), ["a_1"]);
}

#[test]
fn a_full_buffer_loses_its_oldest_events() {
    let (mut feed, now) = feed();
    feed.open(BOT, ALL, None, now);
    for _ in 0..SPACE_BUFFER + 10 {
        feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    }
    assert_eq!(feed.lag(SPACE), SPACE_BUFFER as u64 + 10);
    let all = ids(&mut feed, ALL, usize::MAX, now);
    assert_eq!(all.len(), SPACE_BUFFER);
    assert_eq!(all[0], "a_11");
    assert_eq!(feed.lag(SPACE), 0);
}

#[test]
fn a_stream_is_deaf_after_another_one_ended() {
    let (mut feed, now) = feed();
    feed.open(BOT, ALL, None, now);
    feed.open(BOT, ALL, None, now);
    feed.push(SPACE, "messageCreate", "{}", Vec::new(), now);
    let cursor = feed.cursor(BOT);
    feed.close(BOT, now);
    assert!(ids(&mut feed, ALL, 50, now).is_empty());
    assert_eq!(feed.cursor(BOT), cursor);
    feed.open(BOT, ALL, None, now);
    assert_eq!(ids(&mut feed, ALL, 50, now), ["a_1"]);
}
