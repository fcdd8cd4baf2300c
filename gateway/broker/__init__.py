"""Our link to the MQTT broker: the only folder that knows paho.

`Broker` (broker.py) is what the rest of the program sees; `Session` (session.py) is its paho
side, `Link` (link.py) the thread that both need.
"""
