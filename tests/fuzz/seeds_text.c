/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <msgpack.h>

#include "seeds.h"

static void pack(msgpack_packer *packer, const char *text)
{
	msgpack_pack_str(packer, strlen(text));
	msgpack_pack_str_body(packer, text, strlen(text));
}

/* Two sessions of one beginning, with texts that a terminal would obey, and other types. */
void text_seed(void)
{
	static const char *const texts[] = {
		"id",      "ab\x7f\xc2\x9b", "state",  "stale",
		"service", "\x1b[2J",        "reason", "\xff\xfe \xe2\x82\xac"};
	msgpack_sbuffer buffer;
	msgpack_packer packer;
	FILE *out;

	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_map(&packer, 1);
	pack(&packer, "sessions");
	msgpack_pack_array(&packer, 2);
	for (int i = 0; i < 2; i++) {
		msgpack_pack_map(&packer, 6);
		for (int k = 0; k < 8; k++)
			pack(&packer, texts[k]);
		pack(&packer, "age_ns");
		msgpack_pack_float(&packer, 2.5f);
		pack(&packer, "labels");
		msgpack_pack_map(&packer, 2);
		pack(&packer, "\xc2\x80");
		msgpack_pack_nil(&packer);
		pack(&packer, "key");
		pack(&packer, "a\nb");
	}
	out = seed_open("document", "text");
	fwrite(buffer.data, 1, buffer.size, out);
	seed_close(out);
	request_seeds("text", buffer.data, buffer.size);
	msgpack_sbuffer_destroy(&buffer);
}

/* Every path, and the headers that change what is answered. */
static const char *const requests[] = {
	"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;version=0.0.4\r\n\r\n",
	"GET /metrics?sessions=1 HTTP/1.1\r\nHost: a\r\n"
	"Accept: application/openmetrics-text;version=1.0.0\r\n\r\n",
	"GET /metrics?sessions=1 HTTP/1.1\r\nHost: a\r\nAccept: "
	"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
	"encoding=delimited;q=0.7,*/*;q=0.1\r\n\r\n",
	"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n",
	"GET /api/v1/snapshot HTTP/1.1\r\nHost: a\r\nAccept: application/msgpack\r\n\r\n",
	"HEAD /api/v1/snapshot HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", *\r\n\r\n",
	"GET /api/v1/monitoring/health HTTP/1.1\r\nHost: a\r\n\r\n"
	"GET /api/v1/monitoring/health/services HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /api/v1/monitoring/metrics HTTP/1.1\r\nHost: a\r\n\r\n"
	"GET /api/v1/monitoring/status HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /api/v1/monitoring/health/reset/a%2fb HTTP/1.1\r\nHost: a\r\n"
	"Authorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}",
	"GET /api/v1/stream HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 1\r\n\r\n",
	"GET /api/v1/stream?session=x&interval=0.1 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /api/v1/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	"\x81\x92\x01\x02\x03\x04{\"interval\":0.1}\x88\x80\x01\x02\x03\x04",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
};

void request_seeds(const char *name, const char *document, size_t size)
{
	if (size > UINT16_MAX)
		return;
	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
		uint8_t head[2] = {(uint8_t)size, (uint8_t)(size >> 8)};
		char path[80];
		FILE *out;

		snprintf(path, sizeof path, "%s-%zu", name, i);
		out = seed_open("request", path);
		fwrite(head, 1, sizeof head, out);
		fwrite(document, 1, size, out);
		fwrite(requests[i], 1, strlen(requests[i]), out);
		seed_close(out);
	}
}
