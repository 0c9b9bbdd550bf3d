//! Newtypes and closed value sets: ids, money, units, times, regions, channels.
//!
//! Not arithmetic: sums that can exceed the type are made where they are needed, in 128 bits.
//! Invariant: each value is within the contract's range once it is made by its checked constructor.

/// Largest sum of money (minor units) and largest time (milliseconds): 10^15.
pub const MONEY_AND_TIME_MAX: u64 = 1_000_000_000_000_000;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);
    };
}

newtype!(/// A merchant; everything in the state belongs to one.
    MerchantId(u64));
newtype!(/// A buyer.
    BuyerId(u64));
newtype!(/// A sellable item of a merchant.
    SkuId(u64));
newtype!(/// A warehouse or store of a merchant; 0 is the merchant's own stock room, always open.
    LocationId(u32));
newtype!(/// A count of goods.
    Units(u32));
newtype!(/// Money in the currency's minor unit, 0..=10^15.
    Money(u64));
newtype!(/// Milliseconds since 1970-01-01 UTC, 0..=10^15.
    Millis(u64));
newtype!(/// Position of a record in its input partition.
    Offset(u64));

/// A GB/T 2260 code: six digits as a number, first two the province, first four the city.
/// 0 (`000000`) is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Region(u32);

impl Region {
    /// `000000`
    pub const UNKNOWN: Region = Region(0);

    /// The region with this code, or `None` above 999,999.
    pub const fn new(code: u32) -> Option<Region> {
        if code <= 999_999 { Some(Region(code)) } else { None }
    }

    /// All six digits as a number.
    pub const fn code(self) -> u32 {
        self.0
    }

    /// First four digits as a number.
    pub const fn city(self) -> u32 {
        self.0 / 100
    }

    /// First two digits as a number, 0..=99.
    pub const fn province(self) -> u32 {
        self.0 / 10_000
    }

    /// How far two regions are apart: 0 the same six digits, 1 the same city, 2 the same province,
    /// 3 otherwise or when either is unknown.
    pub const fn distance(self, other: Region) -> u8 {
        if self.0 == 0 || other.0 == 0 {
            3
        } else if self.0 == other.0 {
            0
        } else if self.city() == other.city() {
            1
        } else if self.province() == other.province() {
            2
        } else {
            3
        }
    }
}

/// Where an order was made. Whatever the contract does not name is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Channel {
    /// `app`
    App,
    /// `web`
    Web,
    /// `mini_program`
    MiniProgram,
    /// `livestream`
    Livestream,
    /// `store`
    Store,
    /// `phone`
    Phone,
    /// `other`
    #[default]
    Other,
}

impl Channel {
    /// Every channel, in the order of its number.
    pub const ALL: [Channel; 7] = [
        Channel::App,
        Channel::Web,
        Channel::MiniProgram,
        Channel::Livestream,
        Channel::Store,
        Channel::Phone,
        Channel::Other,
    ];

    /// The channel's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Channel::App => "app",
            Channel::Web => "web",
            Channel::MiniProgram => "mini_program",
            Channel::Livestream => "livestream",
            Channel::Store => "store",
            Channel::Phone => "phone",
            Channel::Other => "other",
        }
    }

    /// The channel of that name; `Other` for any name the contract does not list.
    pub fn from_name(name: &str) -> Channel {
        Channel::ALL.into_iter().find(|channel| channel.name() == name).unwrap_or_default()
    }
}

/// What a SKU is counted under: 1..=32 characters of `[a-z0-9._-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Category<'a>(&'a str);

impl<'a> Category<'a> {
    /// Longest name in bytes.
    pub const BYTES_MAX: usize = 32;
    /// The category of a listing that names none.
    pub const NONE: Category<'static> = Category("none");

    /// The category, or `None` if `text` is not of the form the contract allows.
    pub fn new(text: &'a str) -> Option<Self> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len());
        (fits && text.bytes().all(Self::allows)).then_some(Category(text))
    }

    /// Whether a category's name may contain this byte.
    pub const fn allows(byte: u8) -> bool {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    }

    /// The category's name.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}
