// The playground: a chat client for the embedded Argon server, in which a bot's author is any person.
//
// This module only joins the others: the server's events go to whom they concern. What the page knows is
// in store.js; text becomes DOM in richtext.js and never by way of HTML.

import { follow } from "./api.js";
import { startComposer, startEdit, startReply } from "./composer.js";
import { byId, notice } from "./dom.js";
import { forgetInteractions, onBotMessage, onInteractionEvent } from "./interactions.js";
import { startModals } from "./modal.js";
import { restartRequests, startRequests } from "./requests.js";
import { startSidebar } from "./sidebar.js";
import { putMessage, putReactions, refresh, refreshCommands, refreshWorld } from "./store.js";
import { startTimeline } from "./timeline.js";
import { endTyping, onTyping } from "./typing.js";

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
  reload: () => reading(refresh()),
};

// A failed reading while the server is away is repeated by the next connect.
const reading = (promise) => promise.catch((error) => byId("offline").hidden && notice(error.message));

// The address belongs to person and channel: the link must not put its target there.
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("write").focus();
});

startSidebar();
startTimeline({ reply: startReply, edit: startEdit });
startComposer();
startModals();
startRequests();

follow({
  onOpen() {
    byId("offline").hidden = true;
    forgetInteractions();
    restartRequests();
    void reading(refresh());
  },
  onLost() {
    byId("offline").hidden = false;
  },
  onEvent(event) {
    // A kind that this page does not know is a newer server's: left alone.
    if (Object.hasOwn(handlers, event.type)) handlers[event.type](event);
  },
});
