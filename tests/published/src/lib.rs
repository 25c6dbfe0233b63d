//! Published crates that run jobs over sqlx, under test as they are: the tests are all there is.
