//! Data that Python makes by calling a constructor: dates, decimals, UUIDs, complex numbers; and
//! large integers.

use bytes::BufMut;
use daffi_serde::{
    Value,
    value::{Date, DateTime, Time, TimeDelta, is_decimal},
};
use num_bigint::BigInt;
use serde::Serializer;

use super::Writer;
use crate::{WriteError, known::Known, opcode as op};

impl Writer<'_> {
    /// Writes what [`tag::special`](daffi_serde::value::tag::special) recognised.
    pub(super) fn special(&mut self, value: &Value) -> Result<(), WriteError> {
        match value {
            Value::BigInt(big) => return self.big(big),
            Value::Int(int) => {
                self.int(*int);
                return Ok(());
            }
            Value::Complex(real, imaginary) => {
                self.name(Known::Complex);
                self.float(*real);
                self.float(*imaginary);
                self.op(op::TUPLE2);
            }
            Value::Decimal(text) => {
                if !is_decimal(text) {
                    return Err(WriteError::Decimal(text.to_string()));
                }
                self.name(Known::Decimal);
                self.text(text);
                self.op(op::TUPLE1);
            }
            Value::Uuid(uuid) => return self.uuid(**uuid),
            Value::Date(date) => {
                self.name(Known::Date);
                self.data(&date_state(*date));
                self.op(op::TUPLE1);
            }
            Value::Time(time) => {
                self.name(Known::Time);
                self.data(&time_state(**time));
                self.zone(time.offset, None);
            }
            Value::DateTime(moment) => {
                let DateTime { date, time, zone, .. } = &**moment;
                if let (Some(zone), None) = (zone, time.offset) {
                    return Err(WriteError::Value(format!(
                        "the offset from UTC that {moment} has in {zone} is not known"
                    )));
                }
                self.name(Known::DateTime);
                self.data(&[&date_state(*date)[..], &time_state(*time)].concat());
                self.zone(time.offset, zone.as_deref());
            }
            Value::TimeDelta(delta) => {
                self.delta(*delta);
                return Ok(());
            }
            _ => return Err(WriteError::Value("not a kind of data that has a constructor".to_owned())),
        }
        self.op(op::REDUCE);
        Ok(())
    }

    fn big(&mut self, big: &BigInt) -> Result<(), WriteError> {
        let bytes = big.to_signed_bytes_le();
        if let Ok(len) = u8::try_from(bytes.len()) {
            self.out.put_slice(&[op::LONG1, len]);
        } else {
            // The length has a sign.
            let len = i32::try_from(bytes.len()).map_err(|_| WriteError::IntBytes { bytes: bytes.len() })?;
            self.op(op::LONG4);
            self.out.put_i32_le(len);
        }
        self.out.put_slice(&bytes);
        Ok(())
    }

    /// Writes a UUID that is made without arguments and then given its number, as `uuid.UUID`
    /// itself does.
    fn uuid(&mut self, uuid: u128) -> Result<(), WriteError> {
        self.name(Known::Uuid);
        self.out.put_slice(&[op::EMPTY_TUPLE, op::NEWOBJ, op::EMPTY_DICT]);
        self.text("int");
        self.serialize_u128(uuid)?;
        self.out.put_slice(&[op::SETITEM, op::BUILD]);
        Ok(())
    }

    /// Ends the arguments of a time: its offset from UTC, if it has one. A name goes with it, and
    /// not as a `ZoneInfo`, for which the reader would need a database that has the zone.
    fn zone(&mut self, offset: Option<TimeDelta>, name: Option<&str>) {
        let Some(offset) = offset else { return self.op(op::TUPLE1) };
        self.name(Known::TimeZone);
        self.delta(offset);
        match name {
            Some(name) => {
                self.text(name);
                self.op(op::TUPLE2);
            }
            None => self.op(op::TUPLE1),
        }
        self.out.put_slice(&[op::REDUCE, op::TUPLE2]);
    }

    fn delta(&mut self, delta: TimeDelta) {
        self.name(Known::TimeDelta);
        self.int(delta.days.into());
        self.int(delta.seconds.into());
        self.int(delta.microseconds.into());
        self.out.put_slice(&[op::TUPLE3, op::REDUCE]);
    }
}

fn date_state(date: Date) -> [u8; 4] {
    let [high, low] = date.year.to_be_bytes();
    [high, low, date.month, date.day]
}

fn time_state(time: Time) -> [u8; 6] {
    let [_, high, middle, low] = time.microsecond.to_be_bytes();
    [time.hour, time.minute, time.second, high, middle, low]
}
