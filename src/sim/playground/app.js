// The playground: a chat client for the embedded Argon server, in which a bot's author is any person.
//
// This module only joins the others: the server's events go to whom they concern. What the page knows is
// in store.js; text becomes DOM in richtext.js and never by way of HTML.

import { onLine, refreshActivity } from "./activity.js";
import { follow } from "./api.js";
import { startComposer, startEdit, startReply } from "./composer.js";
import { byId, notice } from "./dom.js";
import { onRequest } from "./gauges.js";
import { icon } from "./icons.js";
import { startInspector } from "./inspector.js";
import { forgetInteractions, onBotMessage, onInteractionEvent } from "./interactions.js";
import { startModals } from "./modal.js";
import { startPresence } from "./presence.js";
import { startSides } from "./sides.js";
import { startSidebar } from "./sidebar.js";
import { putMessage, putReactions, refresh, refreshCommands, refreshWorld } from "./store.js";
import { startTimeline } from "./timeline.js";
import { endTyping, onTyping } from "./typing.js";
import { onCall, refreshCalls } from "./voice.js";
import { startVoicePanel } from "./voicepanel.js";

const handlers = {
  message({ message }) {
    endTyping({ channelId: message.channelId, userId: message.sender.userId });
    putMessage(message, true);
    onBotMessage(message);
  },
  edit({ message }) {
    putMessage(message, false);
    onBotMessage(message);
  },
  reactions: putReactions,
  typing: onTyping,
  typingStop: endTyping,
  commands: () => reading(refreshCommands()),
  world: () => reading(refreshWorld()),
  ack: onInteractionEvent,
  defer: onInteractionEvent,
  modal: onInteractionEvent,
  expired: onInteractionEvent,
  call: onCall,
  event: onLine,
  notice: onLine,
  missed: onLine,
  request(line) {
    onLine(line);
    onRequest();
  },
  reload: readAnew,
};

/** Everything that the page shows, as it is now. */
function readAnew() {
  forgetInteractions();
  for (const read of [refresh, refreshCalls, refreshActivity]) void reading(read());
}

// A failed reading while the server is away is repeated by the next connect.
const reading = (promise) => promise.catch((error) => byId("offline").hidden && notice(error.message));

// The address belongs to person and channel: the link must not put its target there.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("write").focus();
});

for (const button of document.querySelectorAll("[data-icon]")) button.append(icon(button.dataset.icon));
startSides();
startSidebar();
startTimeline({ reply: startReply, edit: startEdit });
startComposer();
startModals();
startPresence();
startVoicePanel();
startInspector();

follow({
  onOpen() {
    byId("offline").hidden = true;
    readAnew();
  },
  onLost() {
    byId("offline").hidden = false;
  },
  onEvent(event) {
    // A kind that this page does not know is a newer server's: left alone.
    if (Object.hasOwn(handlers, event.type)) handlers[event.type](event);
  },
});
