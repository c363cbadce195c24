"""A service whose functions are the public methods of a class."""

from addresses import parse
from daffi import Service, callback, local


@callback
class TextProcessor:
    def __init__(self):
        self.separator = " "

    def upper(self, text):
        return text.upper()

    def set_separator(self, separator):
        self.separator = separator

    def join_words(self, words):
        return self.separator.join(words)

    @local
    def reset(self):
        self.separator = " "

    def _private(self):
        return "never exported"


address = parse("listen", "tcp://127.0.0.1:5002")
service = Service(app_name="text-service", host=address.host, port=address.port)
service.start()
print(f"listening on {address.text}", flush=True)
service.join()
