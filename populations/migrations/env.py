"""What alembic executes to migrate: from the version in the file's header, to the last one.

Not to be imported. `populations.migrations.migrate` hands in the connection and its transaction.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection)
begun = connection.exec_driver_sql("PRAGMA user_version").scalar()
context.get_context().stamp(context.script, str(begun))
context.run_migrations()
reached = context.script.get_current_head()
connection.exec_driver_sql(f"PRAGMA user_version = {reached}")
# The version is in the header; a table beside it would be a second opinion.
connection.exec_driver_sql("DROP TABLE alembic_version")
