package payload

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// A Frame is a device's own bytes, which a network server passed on.
type Frame struct {
	Data   []byte
	Time   time.Time // when a gateway or the network heard it, UTC; zero if that is not said
	Number int       // of the sample in its message, from 1; 0 if there is but one
	Device Device
}

// chirpStack decodes an uplink event of ChirpStack v4, topic
// application/{id}/device/{devEui}/event/up. Version 3's spellings (devEUI,
// objectJSON) are taken too.
//
//	{"time":"2026-11-23T07:00:00.123+00:00","deviceInfo":{"deviceName":"ipal-01","devEui":"0102030405060708","tags":{"station":"ipal-01"}},
//	 "fCnt":7,"fPort":1,"data":"AlK4AAMAAIhCgsd/Y3/2DFw=","object":{"ph":7.11,"temperature":21.14}}
//
// What a codec made of the bytes, object, is used where there is one; where
// there is none, data is a frame. A value may be an object with value and unit.
// The time is the network's: what the object calls time is not used. The device
// is its devEui, else the tag "station", else its name.
//
// A key that is absent, null or "-" is no value, and 0 is 0: but some codecs
// leave out what is 0, and some send 0 for a sensor that is not there, and this
// format cannot tell.
func (c *Decoder) chirpStack(d *Decoded, in Input) {
	const want = `an uplink event of ChirpStack: {"time":…,"deviceInfo":{"devEui":…},"object":{"ph":7.1}}`
	c.records(d, in.Payload, want, func(s *sample, event *node) {
		info := event.get("deviceInfo")
		if info == nil { // version 3
			info = event
		}
		s.device = deviceOf(info.first("devEui", "devEUI").string(), info.get("tags").get("station").string(), info.get("deviceName").string())
		at := event.get("time")
		if at == nil || at.kind == jx.Null {
			at = nil
			if received := event.get("rxInfo").elements(); len(received) > 0 {
				at = received[0].first("gwTime", "nsTime", "time")
			}
		}
		object := event.get("object")
		if text := event.get("objectJSON").string(); object == nil && text != "" {
			var err error
			if object, err = parse([]byte(text)); err != nil {
				s.fault(water.Malformed, 1, "objectJSON holds no JSON object")
				return
			}
		}
		s.uplink(at, object, event.get("data"))
	}, "no object and no data; subscribe to the devices' event/up, and let the device profile have a codec")
}

// thingsStack decodes an uplink of The Things Stack v3, topic
// v3/{application}@{tenant}/devices/{device}/up.
//
//	{"end_device_ids":{"device_id":"bajak-hilir","dev_eui":"0004A30B001C0530"},"received_at":"2026-11-23T07:00:01.500123456Z",
//	 "uplink_message":{"f_port":1,"f_cnt":42,"frm_payload":"AhhsAAMAAIhiphiDZYNlDGA=",
//	  "decoded_payload":{"do":8.69,"temperature":21.46},"received_at":"2026-11-23T07:00:01.200Z"}}
//
// What a formatter made of the bytes, decoded_payload, is used where there is
// one; where there is none, frm_payload is a frame. The time is when the network
// server had the uplink. The device is its dev_eui or its device_id.
//
// The Things Stack leaves fields out that are 0, false or "". So a parameter
// that is absent is no reading at all: neither 0 nor "no value".
func (c *Decoder) thingsStack(d *Decoded, in Input) {
	const want = `an uplink of The Things Stack: {"end_device_ids":{"device_id":…},"uplink_message":{"decoded_payload":{"ph":7.1}}}`
	c.records(d, in.Payload, want, func(s *sample, message *node) {
		ids, uplink := message.get("end_device_ids"), message.get("uplink_message")
		s.device = deviceOf(ids.get("dev_eui").string(), ids.get("device_id").string())
		at := uplink.get("received_at")
		if at == nil {
			at = message.get("received_at")
		}
		s.uplink(at, uplink.get("decoded_payload"), uplink.get("frm_payload"))
	}, "no decoded_payload and no frm_payload; subscribe to the devices' up, and give the device a payload formatter")
}

// uplink takes what a network server says of one uplink.
func (s *sample) uplink(at, object, data *node) {
	s.time.read(at, s.local)
	if object != nil && object.kind == jx.Object && len(object.children) > 0 {
		for i := range object.children {
			n := &object.children[i]
			s.add(n.key, n)
		}
		s.settle()
		return
	}
	text := data.string()
	if text == "" {
		return
	}
	frame, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		s.fault(water.Malformed, 1, fmt.Sprintf("the uplink's bytes, %s, are not base64", quote([]byte(text))))
		return
	}
	if reason, detail := s.time.fault(); reason != "" {
		s.fault(reason, 1, detail)
		return
	}
	s.out.Frames = append(s.out.Frames, Frame{Data: frame, Time: s.time.at, Number: s.number, Device: s.device})
}

// String returns the ids for people, as they were sent.
func (d Device) String() string {
	quoted := make([]string, len(d))
	for i, id := range d {
		quoted[i] = quote([]byte(id))
	}
	return strings.Join(quoted, " or ")
}
