"""A stock gRPC stack as the other side: health, reflection, identity and the control stream, with no
code of ours in the client. Usage: test_stock_client.py <server program>; exit status 77: skipped."""
import os
import subprocess
import sys
import tempfile
import threading

try:
    import grpc
    from google.protobuf import descriptor_pb2
except ImportError as e:
    print("SKIPPED: %s (apt-get install python3-grpcio python3-protobuf)" % e)
    sys.exit(77)

SERVICE = "consilium.v1.Coordinator"
HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
WAIT_S = 20


def varint(v):
    out = b""
    while v > 0x7F:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    """Yields (number, value) of an encoded message; bytes or int values."""
    at = 0

    def number():
        nonlocal at
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return v

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
        elif tag & 7 == 2:
            n = number()
            yield tag >> 3, data[at : at + n]
            at += n
        else:
            raise ValueError("wire type %d" % (tag & 7))


def one(data, wanted):
    found = [v for n, v in fields(data) if n == wanted]
    assert len(found) == 1, (wanted, data)
    return found[0]


class Server:
    def __init__(self, program, folder):
        self.process = subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def say(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.stdin.close()
        return self.process.wait(WAIT_S)


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def dial(folder, port, name):
    key = read(folder, name + ".key") if name else None
    chain = read(folder, name + ".pem") if name else None
    credentials = grpc.ssl_channel_credentials(read(folder, "ca.pem"), key, chain)
    # By address, past any proxy: a bare machine has no /etc/hosts, and the server is on this machine anyway.
    return grpc.secure_channel("127.0.0.1:%d" % port, credentials, options=(("grpc.enable_http_proxy", 0),))


def unary(channel, method, request):
    return channel.unary_unary(method)(request, timeout=WAIT_S)


def code_of(call):
    try:
        call()
    except grpc.RpcError as e:
        return e.code()
    return grpc.StatusCode.OK


def check_health(channel, server):
    for service in (b"", SERVICE.encode()):
        request = field(1, service) if service else b""
        assert one(unary(channel, HEALTH + "Check", request), 1) == 1  # SERVING
    unknown = code_of(lambda: unary(channel, HEALTH + "Check", field(1, b"no.such.Service")))
    assert unknown == grpc.StatusCode.NOT_FOUND, unknown
    watch = channel.unary_stream(HEALTH + "Watch")(field(1, SERVICE.encode()), timeout=WAIT_S)
    assert one(next(watch), 1) == 1
    server.say("not-serving")
    assert one(next(watch), 1) == 2  # NOT_SERVING
    assert one(unary(channel, HEALTH + "Check", b""), 1) == 2
    server.say("serving")
    assert one(next(watch), 1) == 1
    watch.cancel()
    strange = channel.unary_stream(HEALTH + "Watch")(field(1, b"x"), timeout=WAIT_S)
    assert one(next(strange), 1) == 3  # SERVICE_UNKNOWN
    strange.cancel()


def check_reflection(channel):
    questions = [
        field(7, b"*"),
        field(4, SERVICE.encode()),
        field(3, b"health.proto"),
        field(4, b"no.such.Symbol"),
        field(4, b"consilium.v1.Chunk"),
    ]
    answers = list(channel.stream_stream(REFLECTION)(iter(questions), timeout=WAIT_S))
    assert len(answers) == len(questions)
    services = [one(s, 1).decode() for n, s in fields(one(answers[0], 6)) if n == 1]
    assert SERVICE in services and "grpc.health.v1.Health" in services, services
    coordinator = descriptor_pb2.FileDescriptorProto.FromString(one(one(answers[1], 4), 1))
    assert coordinator.package == "consilium.v1"
    methods = {m.name: m for s in coordinator.service for m in s.method if s.name == "Coordinator"}
    assert set(methods) == {"Session", "Upload", "Download"}, methods
    assert methods["Session"].client_streaming and methods["Session"].server_streaming
    health = descriptor_pb2.FileDescriptorProto.FromString(one(one(answers[2], 4), 1))
    assert health.package == "grpc.health.v1"
    assert one(one(answers[3], 7), 1) == 5  # NOT_FOUND
    assert one(answers[4], 4) == one(answers[1], 4)


def check_session(channel):
    """The control stream echoes bytes it does not understand."""
    go = threading.Event()

    def messages():
        for i in range(20):
            yield b"message %d" % i
        go.wait(WAIT_S)

    stream = channel.stream_stream("/" + SERVICE + "/Session")(messages(), timeout=WAIT_S)
    assert ("csl-session", "open") in [(m.key, m.value) for m in stream.initial_metadata()]
    for i in range(20):
        assert next(stream) == b"message %d" % i
    go.set()
    assert list(stream) == []
    assert stream.code() == grpc.StatusCode.OK


def check_refusals(folder, port):
    with dial(folder, port, None) as channel:
        code = code_of(lambda: unary(channel, HEALTH + "Check", b""))
        assert code == grpc.StatusCode.UNAVAILABLE, code
    with dial(folder, port, "coordinator") as channel:  # may probe, may not take part
        assert one(unary(channel, HEALTH + "Check", b""), 1) == 1
        code = code_of(lambda: list(channel.stream_stream("/" + SERVICE + "/Session")(iter([]), timeout=WAIT_S)))
        assert code == grpc.StatusCode.PERMISSION_DENIED, code
    with dial(folder, port, "a") as channel:
        try:
            unary(channel, "/" + SERVICE + "/Nothing", b"")
            raise AssertionError("served an unknown method")
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.UNIMPLEMENTED, e
            assert [m for m in e.trailing_metadata() if m.key == "csl-trace" and len(m.value) == 16]
            assert e.details() == "not supported", e.details()
        code = code_of(lambda: unary(channel, HEALTH + "Check", b"\xff" * 40))
        assert code == grpc.StatusCode.INVALID_ARGUMENT, code


def main():
    with tempfile.TemporaryDirectory(prefix="csl-stock-") as folder:
        server = Server(sys.argv[1], folder)
        try:
            with dial(folder, server.port, "a") as channel:
                check_health(channel, server)
                check_reflection(channel)
                check_session(channel)
            check_refusals(folder, server.port)
        finally:
            status = server.stop()
        assert status == 0, status
    print("a stock gRPC client agrees: health, reflection, session, refusals")


if __name__ == "__main__":
    main()
