// A page that holds its recording in itself: a JSON array of events.

import { Player } from "./player.js";

const player = new Player();
player.add(JSON.parse(document.getElementById("recording").textContent));
player.show(player.history.duration, true);
player.live = false;
if (!player.drawing.fit(player.history.at(player.history.duration))) player.follow();
