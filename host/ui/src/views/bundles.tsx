// The bundles of the repository, with their cards. All of it is text of whoever made them, and shown as text.

import { bytes } from "../format";
import type { World } from "../store";
import type { Bundle } from "../types";
import { Swatch } from "./chart";
import { Badge } from "./state";

export function Bundles({ world }: { world: World }) {
  return (
    <section id="bundles" aria-labelledby="bundles-title">
      <header class="head">
        <h2 id="bundles-title">Bundles</h2>
      </header>
      <div class="panel list">
        {world.bundles === null && <p class="quiet">Reading the repository …</p>}
        {world.bundles?.map((bundle) => (
          <One key={bundle.bundle} bundle={bundle} />
        ))}
        {world.bundles?.length === 0 && <p class="quiet">The repository is empty.</p>}
      </div>
    </section>
  );
}

function One({ bundle }: { bundle: Bundle }) {
  const { card } = bundle;
  return (
    <details class="bundle-card">
      <summary>
        <span class="title">
          <Swatch bundle={bundle.bundle} />
          <span class="bundle">{bundle.bundle}</span>
        </span>
        <span class="quiet">{bundle.kind ?? "unreadable"}</span>
        <span class="quiet">{bundle.size !== null && bytes(bundle.size)}</span>
        <span class="quiet">{bundle.licence}</span>
        <Badge state={bundle.state} />
      </summary>
      {bundle.reason !== null && <p class="notice bad">{bundle.reason}</p>}
      <dl>
        {card !== null && (
          <>
            <dt>Intended use</dt>
            <dd>{card.intended_use}</dd>
            <dt>Limits</dt>
            <dd>{card.limits}</dd>
            <dt>Trained from</dt>
            <dd>{card.base_model}</dd>
            <dt>Trained on</dt>
            <dd>{card.data}</dd>
            <dt>Languages</dt>
            <dd>{card.languages.join(", ") || "–"}</dd>
          </>
        )}
        {bundle.digest !== null && (
          <>
            <dt>Digest</dt>
            <dd>
              <code>{bundle.digest}</code>
            </dd>
          </>
        )}
        {bundle.releases.length > 0 && (
          <>
            <dt>In releases</dt>
            <dd>{bundle.releases.join(", ")}</dd>
          </>
        )}
      </dl>
      {card !== null && card.evaluations.length > 0 && (
        <table>
          <caption>How well it does</caption>
          <thead>
            <tr>
              <th scope="col">Measured</th>
              <th scope="col" class="figure">
                Result
              </th>
              <th scope="col">How</th>
            </tr>
          </thead>
          <tbody>
            {card.evaluations.map((one) => (
              <tr key={one.name}>
                <th scope="row">{one.name}</th>
                <td class="figure">{one.value}</td>
                <td>{one.method}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </details>
  );
}
