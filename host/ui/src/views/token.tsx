// What stands here while the host demands a token.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { enter } from "../store";

export function Locked({ denied }: { denied: boolean }) {
  const [secret, write] = useState("");
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => input.current?.focus(), []);
  return (
    <main class="locked">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (secret !== "") enter(secret);
        }}
      >
        <h1>Bobbin</h1>
        <p>This host shows itself to those who have its admin token: what was given to it with --admin-token.</p>
        <label class="field">
          <span>Admin token</span>
          <input ref={input} type="password" autocomplete="off" spellcheck={false} required value={secret} aria-invalid={denied} onInput={(event) => write(event.currentTarget.value)} />
        </label>
        <div role="alert">{denied && <p class="notice bad">The host does not know this token.</p>}</div>
        <button type="submit" class="main">
          Open the console
        </button>
        <p class="quiet">It stays in this tab, and is forgotten with it.</p>
      </form>
    </main>
  );
}
