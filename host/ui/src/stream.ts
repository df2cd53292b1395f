// One prompt on its way through one version: a model's pieces become tokens to show.

import * as api from "./api";
import { Refused } from "./api";
import type { Metadata, TokenLogprob } from "./types";

export interface Token {
  text: string;
  logprob: number | null;
  top: { text: string; logprob: number }[];
}

export interface Answer {
  bundle: string;
  tokens: Token[];
  metadata: Metadata | null;
  /** Milliseconds from the question to the first text, and to the last. */
  first: number | null;
  took: number;
  status: "waiting" | "writing" | "whole" | "stopped" | "failed";
  error: string | null;
}

/** Joins a model's tokens to text: a character may be spread over several tokens, and is then the last one's. */
class Joiner {
  private decoder = new TextDecoder("utf-8");

  token(one: TokenLogprob): Token {
    const text = this.decoder.decode(new Uint8Array(one.bytes), { stream: true });
    return { text, logprob: one.logprob, top: one.top.map((other) => ({ text: other.token, logprob: other.logprob })) };
  }
}

export async function answer(
  ask: { release: string; bundle: string; prompt: string; options: Record<string, unknown> },
  signal: AbortSignal,
  show: (answer: Answer) => void,
): Promise<void> {
  const began = performance.now();
  const joiner = new Joiner();
  const whole: Answer = { bundle: ask.bundle, tokens: [], metadata: null, first: null, took: 0, status: "waiting", error: null };
  const showing = (change: Partial<Answer>) => {
    Object.assign(whole, change, { took: performance.now() - began });
    show({ ...whole, tokens: [...whole.tokens] });
  };
  showing({});
  try {
    for await (const event of api.events("admin/v1/playground", { method: "POST", body: JSON.stringify(ask), signal, patience: 60_000 })) {
      if (event === "open") continue;
      if (event.kind === "error") {
        const { message } = event.data as { message: string };
        showing({ status: "failed", error: message });
        return;
      }
      const { text, metadata } = event.data as { text: string; metadata: Metadata };
      whole.first ??= performance.now() - began;
      if (metadata.logprobs !== undefined) whole.tokens.push(...metadata.logprobs.map((one) => joiner.token(one)));
      else if (text !== "") whole.tokens.push({ text, logprob: null, top: [] });
      showing({ metadata, status: metadata.finish_reason === null ? "writing" : "whole" });
    }
    if (whole.status !== "whole") showing({ status: "failed", error: "the answer broke off" });
  } catch (error) {
    if (signal.aborted) showing({ status: "stopped" });
    else showing({ status: "failed", error: error instanceof Refused ? error.message : `the host was not reached: ${String(error)}` });
    if (error instanceof Refused && error.status === 401) throw error;
  }
}

/** The mean log-probability of a token; `null` where nothing is known. */
export function mean(tokens: Token[]): number | null {
  const known = tokens.flatMap(({ logprob }) => (logprob === null ? [] : [logprob]));
  return known.length === 0 ? null : known.reduce((sum, one) => sum + one, 0) / known.length;
}

/** How sure the model was of a token: 0 is certain, 5 is a surprise. */
export function surprise(logprob: number): number {
  const probability = Math.exp(logprob);
  const found = SURE.findIndex((bound) => probability >= bound);
  return found < 0 ? SURE.length : found;
}

/** From this probability on a token is as sure as its place says. */
const SURE = [0.8, 0.5, 0.25, 0.1, 0.02];
