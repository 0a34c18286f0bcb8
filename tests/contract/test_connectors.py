"""Every built-in connector passes the suite that third parties run. Real counterparts have files of their own."""

from fairlead_sdk.conformance import ConnectorSuite
from fairlead_sdk.testing import Example

from fairlead_basics import BasicsConnector


class TestBasics(ConnectorSuite):
    connector = BasicsConnector
    examples = (Example(tool="basics.echo", arguments={"text": "hello"}),)
