//! The modals of a script that may still be submitted.
//!
//! The platform names a submitted modal by the `modalInteractionId` that `Modal` returned, the
//! documentation by the definition's `customId`. Both are accepted: the definitions of the last
//! [`REMEMBERED`] modals are kept by both, and a submission gets its definition's `customId` back. The
//! definition also says what each value is: text, a list, or a boolean. `event.values` keeps the
//! platform's list and has each value under its component's `customId` beside.
//!
//! A person takes their time over a form. So the modals are the script's, not a version's: who opened one is
//! perhaps no longer who gets its submission. For the same reason they are on disk for [`LIFETIME`], in a
//! namespace of the bot's key-value store that no script can name, and a start of the host finds them again.
//! An answer is noted where it comes, not when the thread that asked has read it: at once when that thread
//! has it in its mail, so that who opened a modal goes on before its submission is handed out.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use jiff::Timestamp;
use mlua::{Lua, Table, Value};
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, oneshot};

use crate::contract::{MODAL_COMPONENT_TYPE, Route};
use crate::inbox::{Kv, KvAnswer, KvOp, PAGE, Page, hidden_space};

/// Modals whose definition is kept; the oldest goes when one more is opened.
const REMEMBERED: usize = 1000;
/// How long a modal is kept on disk. The platform does not say how long a person may take.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What a submission needs to know of a modal's definition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Modal {
    custom_id: String,
    /// The kind of each component, by its `customId`.
    components: HashMap<String, String>,
    /// When it was opened, milliseconds since 1970.
    opened: i64,
}

impl Modal {
    /// The modal that a call opens, if it opens one.
    pub(super) fn of_call(
        route: &Route,
        params: &serde_json::Map<String, serde_json::Value>,
    ) -> Option<Self> {
        if route.label() != "IInteractions/Modal" {
            return None;
        }
        let modal = params.get("modal")?;
        let components = modal.get("components")?.as_array()?;
        Some(Self {
            custom_id: modal.get("customId")?.as_str()?.to_owned(),
            components: components
                .iter()
                .filter_map(|component| {
                    let kind = component.get("type")?;
                    let number = match kind.as_i64() {
                        Some(number) => number,
                        None => MODAL_COMPONENT_TYPE.number(kind.as_str()?)?,
                    };
                    let kind = MODAL_COMPONENT_TYPE.name_of(number)?.to_owned();
                    Some((component.get("customId")?.as_str()?.to_owned(), kind))
                })
                .collect(),
            opened: Timestamp::now().as_millisecond(),
        })
    }
}

/// What `Modal` answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    modal_interaction_id: Option<String>,
}

/// What a submission is called by.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ids<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    interaction_id: Cow<'a, str>,
}

impl<'a> Ids<'a> {
    /// Those in a payload. One that cannot be read has none.
    fn of(payload: &'a str) -> Self {
        serde_json::from_str(payload).unwrap_or_default()
    }
}

/// A call that opens a modal and has no answer yet. It is over when this is dropped, be it answered or
/// refused; only then is the modal known.
#[must_use = "dropping it says that the call is over"]
pub(super) struct Opening {
    modals: Modals,
    modal: Option<Modal>,
    /// The modal's `modalInteractionId`, once there is an answer.
    id: Option<String>,
}

impl Opening {
    /// The call was answered.
    pub(super) fn answered(&mut self, answer: &[u8]) {
        // Without a body nobody knows how it will be called when it comes back.
        if let Ok(opened) = serde_json::from_slice::<Opened>(answer) {
            self.id = Some(opened.modal_interaction_id.unwrap_or_default());
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let (Some(modal), Some(id)) = (self.modal.take(), self.id.take()) {
            self.modals.opened(modal, id);
        }
        let mut book = self.modals.book();
        book.opening -= 1;
        for thread in book.waiting.drain(..) {
            thread.unpark();
        }
    }
}

/// The modals of a script, for all its versions. Cheap to clone.
#[derive(Clone)]
pub(super) struct Modals(Arc<Inner>);

struct Inner {
    kv: Kv,
    /// The namespace in which they are kept.
    space: String,
    book: Mutex<Book>,
    /// What earlier processes have opened is there.
    restored: OnceCell<()>,
}

#[derive(Default)]
struct Book {
    /// Calls that open a modal and have no answer yet.
    opening: usize,
    /// Threads that want to know when there is one less.
    waiting: Vec<Thread>,
    /// By `modalInteractionId`.
    opened: HashMap<String, Arc<Modal>>,
    /// By the definition's `customId`: the last one of that name.
    named: HashMap<String, Arc<Modal>>,
    order: VecDeque<(String, String)>,
}

impl Book {
    fn add(&mut self, modal: Modal, id: String) {
        let modal = Arc::new(modal);
        self.order.push_back((id.clone(), modal.custom_id.clone()));
        self.named
            .insert(modal.custom_id.clone(), Arc::clone(&modal));
        self.opened.insert(id, modal);
        if self.order.len() > REMEMBERED
            && let Some((id, name)) = self.order.pop_front()
        {
            self.opened.remove(&id);
            if !self.order.iter().any(|(_, kept)| *kept == name) {
                self.named.remove(&name);
            }
        }
    }
}

impl Modals {
    /// Those of a script, kept in this bot's store.
    pub(super) fn new(kv: Kv, script: &str) -> Self {
        Self(Arc::new(Inner {
            kv,
            space: hidden_space("modals", script),
            book: Mutex::default(),
            restored: OnceCell::new(),
        }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what was opened before this process began, once.
    pub(super) async fn restore(&self) {
        let read = async {
            let mut all: Vec<(String, Modal)> = Vec::new();
            let mut after = None;
            loop {
                let page = self.page(after).await;
                after = page.entries.last().map(|(id, _)| id.clone());
                all.extend(page.entries.into_iter().filter_map(|(id, modal)| {
                    // One in a form of another version of the host is not known, like one that is too old.
                    Some((id, serde_json::from_str(&modal).ok()?))
                }));
                if !page.more {
                    break;
                }
            }
            all.sort_by_key(|(_, modal)| modal.opened);
            let mut book = self.book();
            for (id, modal) in all {
                book.add(modal, id);
            }
        };
        self.0.restored.get_or_init(|| read).await;
    }

    async fn page(&self, after: Option<String>) -> Page {
        let (reply, answer) = oneshot::channel();
        let list = KvOp::List {
            prefix: String::new(),
            limit: PAGE,
            after,
        };
        self.0
            .kv
            .ask(self.0.space.clone(), list, None, move |answer| {
                // Nobody waits any more: the load was given up.
                let _ = reply.send(answer);
            });
        match answer.await {
            Ok(Ok(KvAnswer::Page(page))) => page,
            Ok(Err(error)) => {
                tracing::warn!(target: "script",
                    "forms that were opened before the start are not known any more: {error}");
                Page::default()
            }
            _ => Page::default(),
        }
    }

    /// A call that opens this modal begins.
    pub(super) fn open(&self, modal: Modal) -> Opening {
        self.book().opening += 1;
        Opening {
            modals: self.clone(),
            modal: Some(modal),
            id: None,
        }
    }

    /// Whether a submission may come whose modal is not known yet: the event can overtake the answer
    /// to the call that opened it. If so, this thread is woken when one of those calls is over.
    pub(super) fn are_opening(&self) -> bool {
        let mut book = self.book();
        if book.opening == 0 {
            return false;
        }
        let thread = std::thread::current();
        if book.waiting.iter().all(|known| known.id() != thread.id()) {
            book.waiting.push(thread);
        }
        true
    }

    /// Whether the modal that was submitted so is known by the id that the platform gave it.
    pub(super) fn know(&self, payload: &str) -> bool {
        let ids = Ids::of(payload);
        let book = self.book();
        [ids.custom_id, ids.interaction_id]
            .iter()
            .any(|id| !id.is_empty() && book.opened.contains_key(&**id))
    }

    /// The `customId` that scripts know the modal by that was submitted so.
    pub(super) fn custom_id(&self, payload: &str) -> String {
        let ids = Ids::of(payload);
        match self.find(&ids.custom_id, &ids.interaction_id) {
            Some(modal) => modal.custom_id.clone(),
            None => ids.custom_id.into_owned(),
        }
    }

    /// A modal was opened under that `modalInteractionId`.
    fn opened(&self, modal: Modal, id: String) {
        // Text and lists of text always make JSON.
        if let Ok(value) = serde_json::to_string(&modal)
            && !id.is_empty()
        {
            let set = KvOp::Set {
                key: id.clone(),
                value,
                ttl: Some(LIFETIME),
                revision: None,
            };
            self.0.kv.ask(self.0.space.clone(), set, None, |answer| {
                if let Err(error) = answer {
                    tracing::warn!(target: "script",
                        "a form that was opened is not known after a restart: {error}");
                }
            });
        }
        self.book().add(modal, id);
    }

    /// The modal of a submission that has these ids.
    fn find(&self, custom_id: &str, interaction: &str) -> Option<Arc<Modal>> {
        let book = self.book();
        book.opened
            .get(custom_id)
            .or_else(|| book.opened.get(interaction))
            .or_else(|| book.named.get(custom_id))
            .cloned()
    }

    /// Completes a `modalSubmit` event.
    pub(super) fn submitted(&self, lua: &Lua, event: &Table) -> mlua::Result<()> {
        let id: Option<String> = event.raw_get("customId")?;
        let interaction: Option<String> = event.raw_get("interactionId")?;
        let id = id.unwrap_or_default();
        let modal = self.find(&id, interaction.as_deref().unwrap_or_default());
        if let Some(modal) = &modal
            && modal.custom_id != id
        {
            event.raw_set("modalInteractionId", id)?;
            event.raw_set("customId", modal.custom_id.as_str())?;
        }
        let values = match event.raw_get("values")? {
            Value::Table(values) => values,
            _ => {
                let values = lua.create_table()?;
                event.raw_set("values", &values)?;
                values
            }
        };
        for index in 1..=values.raw_len() {
            let Value::Table(entry) = values.raw_get(index)? else {
                continue;
            };
            let Value::String(name) = entry.raw_get("customId")? else {
                continue;
            };
            let list = match entry.raw_get("values")? {
                Value::Table(list) => list,
                _ => lua.create_table()?,
            };
            let kind = modal
                .as_ref()
                .and_then(|modal| modal.components.get(&*name.to_str().ok()?));
            values.raw_set(name, typed(kind.map(String::as_str), list)?)?;
        }
        Ok(())
    }
}

/// A component's value as what it is: text, a boolean, or the list of what was chosen. Of a component
/// that nobody defined here, one value is taken as text.
fn typed(kind: Option<&str>, list: Table) -> mlua::Result<Value> {
    let first: Value = list.raw_get(1)?;
    Ok(match kind {
        Some("textInput") => match first {
            Value::Nil => Value::String(list_lua(&list)?.create_string("")?),
            text => text,
        },
        Some("checkbox") => {
            let on = matches!(&first, Value::String(text)
                if text.to_string_lossy().eq_ignore_ascii_case("true") || *text == "1");
            Value::Boolean(on || first == Value::Boolean(true))
        }
        Some(_) => Value::Table(list),
        None if list.raw_len() == 1 => first,
        None => Value::Table(list),
    })
}

fn list_lua(list: &Table) -> mlua::Result<Lua> {
    list.weak_lua()
        .try_upgrade()
        .ok_or_else(|| mlua::Error::runtime("the VM is gone"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;
    use crate::inbox::Inbox;
    use serde_json::json;

    fn modals() -> Modals {
        Modals::new(Inbox::new().kv(), "a")
    }

    fn modal(custom_id: &str) -> Modal {
        let route = contract::route("IInteractions", "Modal").unwrap();
        let params = json!({"interactionId": "i", "modal": {"customId": custom_id, "title": "T",
            "components": [
                {"type": 0, "customId": "name", "label": "N"},
                {"type": "checkbox", "customId": "agree", "label": "A"},
                {"type": 1, "customId": "pick", "label": "P"}]}});
        Modal::of_call(route, params.as_object().unwrap()).unwrap()
    }

    fn submit(modals: &Modals, custom_id: &str) -> (Lua, Table) {
        let lua = Lua::new();
        let event: Table = lua
            .load(format!(
                "return {{ customId = '{custom_id}', interactionId = 'other', values = {{
                    {{ customId = 'name', values = {{ 'Ann' }} }},
                    {{ customId = 'agree', values = {{ 'true' }} }},
                    {{ customId = 'pick', values = {{ 'a' }} }} }} }}"
            ))
            .eval()
            .unwrap();
        modals.submitted(&lua, &event).unwrap();
        (lua, event)
    }

    #[test]
    fn a_submission_is_found_by_either_id_and_typed_by_its_definition() {
        let modals = modals();
        modals.opened(modal("feedback"), "m-1".into());
        for id in ["m-1", "feedback"] {
            let (_lua, event) = submit(&modals, id);
            assert_eq!(event.raw_get::<String>("customId").unwrap(), "feedback");
            let values: Table = event.raw_get("values").unwrap();
            assert_eq!(values.raw_get::<String>("name").unwrap(), "Ann");
            assert!(values.raw_get::<bool>("agree").unwrap());
            let pick: Vec<String> = values.raw_get("pick").unwrap();
            assert_eq!(pick, ["a"]);
            assert_eq!(values.raw_len(), 3, "the platform's list is still there");
        }
    }

    #[test]
    fn only_the_last_thousand_modals_are_remembered() {
        let modals = modals();
        for index in 0..=REMEMBERED {
            modals.opened(modal("feedback"), format!("m-{index}"));
        }
        let book = modals.book();
        assert!(!book.opened.contains_key("m-0"));
        assert!(book.opened.contains_key("m-1"));
        assert!(book.named.contains_key("feedback"));
    }

    #[tokio::test]
    async fn what_one_process_opened_the_next_one_finds() {
        let inbox = Inbox::new();
        let kv = inbox.kv();
        let before = Modals::new(kv.clone(), "a");
        for index in 0..=REMEMBERED {
            before.opened(modal("feedback"), format!("m-{index}"));
        }
        let after = Modals::new(kv.clone(), "a");
        after.restore().await;
        after.restore().await;
        let last = format!("m-{REMEMBERED}");
        assert_eq!(
            after.find(&last, "").unwrap().components["pick"],
            "stringSelect"
        );
        assert_eq!(after.book().order.len(), REMEMBERED);
        let others = Modals::new(kv, "b");
        others.restore().await;
        assert!(others.find(&last, "").is_none(), "another script's");
    }

    #[test]
    fn who_waits_for_answers_is_woken_by_each_of_them() {
        let modals = modals();
        assert!(!modals.are_opening());
        let (mut one, other) = (modals.open(modal("one")), modals.open(modal("other")));
        assert!(modals.are_opening() && modals.are_opening());
        assert_eq!(modals.book().waiting.len(), 1);
        one.answered(br#"{"modalInteractionId":"m-1"}"#);
        let submission = r#"{"customId":"m-1","interactionId":"i"}"#;
        assert!(!modals.know(submission), "its thread has no mail yet");
        drop(one);
        assert!(modals.book().waiting.is_empty());
        assert!(modals.know(submission));
        assert!(modals.know(r#"{"customId":"one","interactionId":"m-1"}"#));
        assert!(!modals.know(r#"{"customId":"one","interactionId":""}"#));
        assert_eq!(modals.custom_id(submission), "one");
        assert_eq!(modals.custom_id(r#"{"customId":"m-2"}"#), "m-2");
        assert!(modals.are_opening(), "the other one has no answer");
        drop(other);
        assert!(modals.book().waiting.is_empty());
        assert!(!modals.are_opening());
    }
}
