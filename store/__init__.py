"""What was kept: messages, topics and subscriptions in one SQLite file. No Tornado, no paho."""
