//! The shape of a store: its tables, indexes, triggers and views are those that the migrations make, and no others.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::file::MIGRATIONS;

/// Objects by kind and name, each with its table and its SQL.
type Objects = BTreeMap<(String, String), String>;

/// The version that a database names.
pub fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// What of a database of this version is not as the migrations make it, in words; none when all is.
pub fn difference(connection: &Connection, version: i64) -> rusqlite::Result<Option<String>> {
    let Some(migrations) = usize::try_from(version).ok().and_then(|count| MIGRATIONS.get(..count)) else {
        return Ok(Some(format!("the schema version {version}, which there is not")));
    };
    let model = Connection::open_in_memory()?;
    migrations.iter().try_for_each(|migration| model.execute_batch(migration))?;
    let (made, found) = (objects(&model)?, objects(connection)?);
    let other = found.iter().find(|(name, sql)| made.get(*name) != Some(*sql));
    let words = |(kind, name): &(String, String)| format!("{kind} {name:?}");
    Ok(match other {
        Some((name, _)) if made.contains_key(name) => {
            Some(format!("another {} than wireproof makes", words(name)))
        }
        Some((name, _)) => Some(format!("the {}, which wireproof does not make", words(name))),
        None => made.keys().find(|name| !found.contains_key(*name)).map(|name| format!("no {}", words(name))),
    })
}

fn objects(connection: &Connection) -> rusqlite::Result<Objects> {
    // What ANALYZE keeps changes how rows are found and not which.
    let mut rows = connection.prepare(
        "SELECT type, name, tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema
         WHERE NOT (type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4'))",
    )?;
    let rows = rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    rows.collect()
}
