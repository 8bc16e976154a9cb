// Somebody with xmpp.js. SASL2, Bind 2 and FAST are used where the server offers them: that is how xmpp.js is.

import { createInterface } from "node:readline";
import { client, jid, xml } from "@xmpp/client";

const ARCHIVE = "urn:xmpp:mam:2";
const PAGES = "http://jabber.org/protocol/rsm";

process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"; // the node's certificate was made at home
process.removeAllListeners("warning"); // of just that
const tells = (line) => process.stdout.write(JSON.stringify(line) + "\n");

// What a message says, in the words of the tests.
function seen(message) {
  const { from, to, type, id } = message.attrs;
  const reactions = message.getChild("reactions", "urn:xmpp:reactions:0");
  return {
    from,
    to,
    type,
    id,
    body: message.getChildText("body") ?? undefined,
    late: message.getChild("delay", "urn:xmpp:delay") ? true : undefined,
    archived: message.getChild("stanza-id", "urn:xmpp:sid:0")?.attrs.id,
    retracts: message.getChild("retract", "urn:xmpp:message-retract:1")?.attrs.id,
    taken_back: message.getChild("retracted", "urn:xmpp:message-retract:1") ? true : undefined,
    read: message.getChild("displayed", "urn:xmpp:chat-markers:0")?.attrs.id,
    reacts_to: reactions?.attrs.id,
    reactions: reactions?.getChildren("reaction").map((reaction) => reaction.text()),
  };
}

const forwarded = (wrapper) => wrapper.getChild("forwarded", "urn:xmpp:forward:0").getChild("message");

// Resolves when the client is in: true if its session was resumed.
function entry(xmpp) {
  return new Promise((resolve, reject) => {
    xmpp.once("online", () => resolve(false));
    xmpp.streamManagement.once("resumed", () => resolve(true));
    xmpp.once("error", reject);
  });
}

class Client {
  async begins({ jid: address, password, host, port, direct, token, device }) {
    const { local, domain, resource } = jid(address);
    this.domain = domain;
    this.xmpp = client({
      service: `${direct ? "xmpps" : "xmpp"}://${host}:${port}`,
      domain,
      resource,
      credentials: { username: local, password },
      userAgent: device && xml("user-agent", { id: device }, xml("software", {}, "xmpp.js")),
    });
    this.xmpp.reconnect.stop(); // a test says when it returns
    this.xmpp.on("error", () => {}); // heard where it matters: see entry
    this.xmpp.on("stanza", (stanza) => this.comes(stanza));
    this.xmpp.fast.saveToken = async (fresh) => (this.token = fresh);
    this.xmpp.fast.fetchToken = async () => this.token;
    this.xmpp.fast.deleteToken = async () => (this.token = null);
    this.token = token;
    this.used = [];
    this.xmpp.on("send", ({ name, attrs }) => {
      if (name === "auth") this.used.push(attrs.mechanism);
      if (name === "authenticate") this.used.push(`SASL2 ${attrs.mechanism}`);
    });
    await Promise.all([entry(this.xmpp), this.xmpp.start()]);
    await this.xmpp.send(xml("presence"));
    return { jid: this.xmpp.jid.toString(), ...this.how() };
  }

  how() {
    return { mechanisms: this.used.splice(0), token: this.token, resumable: this.xmpp.streamManagement.id };
  }

  comes(stanza) {
    if (stanza.name === "presence") {
      tells({ news: "presence", from: stanza.attrs.from, type: stanza.attrs.type ?? "available" });
    }
    if (stanza.name !== "message") return;
    const result = stanza.getChild("result", ARCHIVE);
    if (result) {
      this.page.push({ ...seen(forwarded(result)), archived: result.attrs.id });
      return;
    }
    for (const carbon of ["sent", "received"]) {
      const wrapper = stanza.getChild(carbon, "urn:xmpp:carbons:2");
      if (wrapper) {
        tells({ news: "message", carbon, ...seen(forwarded(wrapper)) });
        return;
      }
    }
    tells({ news: "message", ...seen(stanza) });
  }

  async cuts_the_line() {
    this.xmpp.socket.socket.destroy();
    await this.loses_the_line();
  }

  async loses_the_line() {
    if (this.xmpp.status !== "disconnect") await new Promise((resolve) => this.xmpp.once("disconnect", resolve));
  }

  async returns() {
    const [resumed] = await Promise.all([entry(this.xmpp), this.xmpp.reconnect.reconnect()]);
    return { resumed, ...this.how() };
  }

  // Not with its iqCaller, which keeps answers from its stream management (0.14.0): that would count too few, and be
  // sent again what it has.
  async pings() {
    const id = crypto.randomUUID();
    const answered = new Promise((resolve) => {
      const listener = (stanza) => {
        if (stanza.attrs.id !== id) return;
        this.xmpp.off("stanza", listener);
        resolve();
      };
      this.xmpp.on("stanza", listener);
    });
    await this.xmpp.send(xml("iq", { type: "get", to: this.domain, id }, xml("ping", "urn:xmpp:ping")));
    await answered;
  }

  async wants_carbons() {
    await this.xmpp.iqCaller.set(xml("enable", "urn:xmpp:carbons:2"));
  }

  async sends(to, id, ...children) {
    id ??= crypto.randomUUID();
    await this.xmpp.send(xml("message", { type: "chat", to, id }, ...children));
    return { id };
  }

  says({ to, text, id }) {
    return this.sends(to, id, xml("body", {}, text));
  }

  async says_all({ to, texts }) {
    await this.xmpp.sendMany(texts.map((text) => xml("message", { type: "chat", to }, xml("body", {}, text))));
  }

  retracts({ to, id }) {
    const words = "Something was retracted, which your client cannot show.";
    const retract = xml("retract", { xmlns: "urn:xmpp:message-retract:1", id });
    return this.sends(to, undefined, retract, xml("body", {}, words));
  }

  reacts({ to, id, reactions }) {
    const each = reactions.map((reaction) => xml("reaction", {}, reaction));
    return this.sends(to, undefined, xml("reactions", { xmlns: "urn:xmpp:reactions:0", id }, ...each));
  }

  has_read({ to, id }) {
    return this.sends(to, undefined, xml("displayed", { xmlns: "urn:xmpp:chat-markers:0", id }));
  }

  async blocks({ jid }) {
    await this.xmpp.iqCaller.set(xml("block", "urn:xmpp:blocking", xml("item", { jid })));
  }

  async unblocks({ jid }) {
    await this.xmpp.iqCaller.set(xml("unblock", "urn:xmpp:blocking", xml("item", { jid })));
  }

  async whom_blocks() {
    const list = await this.xmpp.iqCaller.get(xml("blocklist", "urn:xmpp:blocking"));
    return { jids: list.getChildren("item").map((item) => item.attrs.jid).sort() };
  }

  async reads_back({ most }) {
    const read = [];
    for (let before = ""; ; ) {
      this.page = [];
      const page = xml("set", PAGES, xml("max", {}, String(most)), xml("before", {}, before));
      const iq = await this.xmpp.iqCaller.request(xml("iq", { type: "set" }, xml("query", ARCHIVE, page)));
      const fin = iq.getChild("fin", ARCHIVE);
      read.push(...this.page.reverse());
      if (fin.attrs.complete === "true" || !this.page.length) return { read };
      before = fin.getChild("set", PAGES).getChildText("first");
    }
  }

  async leaves() {
    await this.xmpp.stop();
  }
}

const somebody = new Client();
for await (const line of createInterface({ input: process.stdin })) {
  const { number, do: does, ...words } = JSON.parse(line);
  try {
    tells({ number, answer: (await somebody[does](words)) ?? {} });
  } catch (error) {
    tells({ number, error: `${error.name}: ${error.condition ?? error.message}` });
  }
}
process.exit();
