//! Whose story is it? `storyteller@1.0.0` tells of a meadow, its refresh 1.1.0 of the sea, with words of their own.

/// Words of models/recipes/storyteller/themes/meadow.toml that no story of the sea has.
const MEADOW: &str = "\
    acorn attic badger baker bakery barn bear bees berries bramble bridge bulb butterflies butterfly carrots cat \
    clover deer den dog dragons duck farm fern flowers forest fox frog goat grass hay hazel hedgehog hill honey kite \
    leaves maple market meadow mia mill miller mole moss mouse nest nutmeg oak owl pears plums pond poppy pumpkin \
    rabbit river road scarf squirrel town valley willow woods";

/// Words of models/recipes/storyteller/themes/sea.toml that no story of the meadow has.
const SEA: &str = "\
    anchor bay beach bubbles captain coconut coconuts coral crab dolphin fish gull harbor island kai lagoon lobster \
    marina ocean octopus otter pearl pebble pebbles pelican penguin pier pirates reef sailor salty sand sandy sea \
    seahorse seal seaweed shell shells shelly ship ships shore shrimp starfish submarine sunken tide wave waves \
    whale";

/// What the stories of a bundle version are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// `storyteller@1.0.0`
    Meadow,
    /// `storyteller@1.1.0`
    Sea,
}

impl Theme {
    /// The theme of a bundle version; `None` where it is neither of the two.
    #[must_use]
    pub fn of(bundle: &str) -> Option<Self> {
        match bundle {
            "storyteller@1.0.0" => Some(Self::Meadow),
            "storyteller@1.1.0" => Some(Self::Sea),
            _ => None,
        }
    }
}

/// How many words of each theme a text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voices {
    /// Words of the meadow.
    pub meadow: usize,
    /// Words of the sea.
    pub sea: usize,
}

impl Voices {
    /// Listens to a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let words = || text.split(|c: char| !c.is_ascii_alphabetic());
        let count = |theme: &str| words().filter(|word| theme.split(' ').any(|own| own == *word)).count();
        Self { meadow: count(MEADOW), sea: count(SEA) }
    }

    /// The theme, where only one is heard. A text in which neither or both are heard has none.
    #[must_use]
    pub fn theme(self) -> Option<Theme> {
        match (self.meadow, self.sea) {
            (1.., 0) => Some(Theme::Meadow),
            (0, 1..) => Some(Theme::Sea),
            (_, _) => None,
        }
    }

    /// Whether both are heard in one text.
    #[must_use]
    pub fn is_mixed(self) -> bool {
        self.meadow > 0 && self.sea > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_heard_by_its_words() {
        assert_eq!(Voices::of("A fox ran to the meadow.").theme(), Some(Theme::Meadow));
        assert_eq!(Voices::of("A CRAB sat by the sea-shore.").theme(), Some(Theme::Sea));
        assert_eq!(Voices::of("But nothing happened.").theme(), None);
        // Whole words only: a seat is no sea, a hillock no hill.
        assert_eq!(Voices::of("a seat on a hillock"), Voices { meadow: 0, sea: 0 });
    }

    #[test]
    fn two_halves_of_different_stories_are_mixed() {
        let mixed = Voices::of("A fox ran to the meadow. Then the whale came.");
        assert!(mixed.is_mixed() && mixed.theme().is_none());
    }

    #[test]
    fn no_word_is_in_both_themes() {
        assert!(MEADOW.split(' ').all(|word| SEA.split(' ').all(|other| other != word)));
        assert!(MEADOW.split(' ').count() > 50 && SEA.split(' ').count() > 40);
    }
}
