// What to do when something is wrong. The service says what is wrong (`reasons` of /health); this
// adds what a person can do about it. Pure functions.

const ADVICE = [
  [
    /^not connected to the MQTT broker.*(not authori[sz]ed|bad user)/i,
    "The broker refuses the user name or password: check MQTT_USERNAME and MQTT_PASSWORD.",
  ],
  [
    /^not connected to the MQTT broker.*(taken over)/i,
    "Another program uses the same MQTT_CLIENT_ID: give each its own.",
  ],
  [
    /^not connected to the MQTT broker/,
    "Check that the broker runs and that MQTT_BROKER_HOST and MQTT_BROKER_PORT name it. The " +
      "service keeps trying; the history can be read meanwhile.",
  ],
  [
    /full|no space|max_page_count/i,
    "Free disk space, or lower MAX_HISTORY_SIZE or MESSAGE_RETENTION_HOURS. New messages are " +
      "shown live, and stored as soon as there is room.",
  ],
  [
    /subscription to .* is not held/,
    "The broker refuses this filter: check its access rules, or unsubscribe under Publish.",
  ],
  [
    /damaged and moved/,
    "A fresh database is in use. The damaged file is kept beside it; docs/operations.md says how " +
      "to rescue what is in it.",
  ],
  [/made no progress/, "Restart the service; systemd does so by itself when set up as documented."],
  [
    /locked|cannot be (stored|written)|I\/O|readonly|read-only/i,
    "Look at the disk and at who else writes to the database file. The service tries again each " +
      "second, and messages wait in memory.",
  ],
];

/** One sentence, or an empty text when we know no better than the reason itself. */
export function adviceFor(reason) {
  const found = ADVICE.find(([pattern]) => pattern.test(reason));
  return found ? found[1] : "";
}
