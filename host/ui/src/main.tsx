// The operator's console: one page, made of what the admin API says and of nothing else.

import { render } from "preact";
import { useEffect } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import "./app.css";
import { start, useWorld } from "./store";
import * as theme from "./theme";
import { Bundles } from "./views/bundles";
import { History } from "./views/history";
import { Playground } from "./views/playground";
import { Releases } from "./views/releases";
import { Locked } from "./views/token";
import { Top } from "./views/top";
import { Traffic } from "./views/traffic";
import { Workers } from "./views/workers";

function Console() {
  const world = useWorld();
  useEffect(() => {
    document.title = world.application ? `${world.application.name} · Bobbin` : "Bobbin";
  }, [world.application?.name]);
  if (world.link === "locked") return <Locked denied={world.denied} />;
  return (
    <>
      <a class="skip" href="#releases">
        Skip to the releases
      </a>
      <Top world={world} />
      <main>
        <Releases world={world} />
        <Traffic world={world} />
        <Playground world={world} />
        <Workers world={world} />
        <History world={world} />
        <Bundles world={world} />
      </main>
      <p class="sr" aria-live="polite">
        {world.spoken}
      </p>
    </>
  );
}

theme.start();
start();
const place = document.getElementById("app");
if (place !== null) render(<Console />, place);
